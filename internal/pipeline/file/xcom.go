package file

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// xcomVariable returns the environment variable that a parameter's value comes
// in: in upper case, with every character outside A-Z, 0-9 and _ as _ (A-ENV-4).
func xcomVariable(parameter string) string {
	return "LEOFLOW_XCOM_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToUpper(parameter))
}

// pathSuffix is appended for the variable that names the file of a value (A-ENV-4).
const pathSuffix = "_PATH"

// checkCollisions records parameters of which two would come in one environment
// variable, the one that names a value's file included.
func (d *document) checkCollisions(inputs []Input, keys []*yaml.Node, where taskNodes) {
	taken := make(map[string]string, 2*len(inputs))
	for i, in := range inputs {
		name := xcomVariable(in.Parameter)
		for _, variable := range []string{name, name + pathSuffix} {
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
