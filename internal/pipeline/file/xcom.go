package file

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/neochaotic/leoflow/internal/domain"
)

// checkCollisions records parameters of which two would come in one environment
// variable, the one that names a value's file included.
func (d *document) checkCollisions(inputs []Input, keys []*yaml.Node, where taskNodes) {
	taken := make(map[string]string, 2*len(inputs))
	for i, in := range inputs {
		name := domain.XComVariable(in.Parameter)
		for _, variable := range []string{name, name + domain.EnvPathSuffix} {
			other, twice := taken[variable]
			if !twice {
				taken[variable] = in.Parameter
				continue
			}
			d.faults.at(keys[i], func() (string, string) {
				return fmt.Sprintf("%s: inputs %s and %s would share the variable %s",
					d.nameOf(where), quote(other), quote(in.Parameter), cut(variable)), "rename one of the two"
			})
			break
		}
	}
}

// cut shortens a long name that holds no character of more than one byte.
func cut(name string) string {
	if len(name) > maxQuoted {
		return name[:maxQuoted] + "…"
	}
	return name
}
