package configfile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// reader reads one file.
type reader struct {
	app  *kong.Application
	file *File
}

// entry is a key of a mapping, and what it stands for.
type entry struct{ key, value *yaml.Node }

func fault(n *yaml.Node, remedy, format string, args ...any) *Error {
	return &Error{Line: n.Line, Problem: fmt.Sprintf(format, args...), Remedy: remedy}
}

// entries returns what a mapping holds, in its order. A value of none is a mapping of
// nothing, so that a section may be left empty.
func entries(n *yaml.Node, what string) ([]entry, *Error) {
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fault(n, "write KEY: VALUE, a flag a line", "%s is not a mapping", what)
	}
	var out []entry
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, fault(key, "write KEY: VALUE, a flag a line", "%s has a key that is not text", what)
		}
		if line, twice := first[key.Value]; twice {
			return nil, fault(key, "keep one of the two", "the key %q is there twice, first at line %d", key.Value, line)
		}
		first[key.Value] = key.Line
		out = append(out, entry{key, n.Content[i+1]})
	}
	return out, nil
}

// read reads the whole file: the shared flags, then those of the sections, which thereby
// go before them.
func (r *reader) read(root *yaml.Node) *Error {
	top, err := entries(root, "the file")
	if err != nil {
		return err
	}
	var section *yaml.Node
	for _, e := range top {
		if e.key.Value == sections {
			section = e.value
			continue
		}
		if err := r.shared(e); err != nil {
			return err
		}
	}
	return r.section(r.app.Node, section)
}

// shared sets a flag of every command that shares it.
func (r *reader) shared(e entry) *Error {
	name, found := e.key.Value, false
	if childOf(r.app.Node, name) != nil && e.value.Kind == yaml.MappingNode {
		return fault(e.key, "write it below "+sections, "%q is a command", name)
	}
	for _, command := range r.app.Leaves(true) {
		if flag := flagOf(command, name); flag != nil && isShared(r.app, command, flag) {
			found = true
			if err := r.set(flag, e); err != nil {
				return err
			}
		}
	}
	if found {
		return nil
	}
	for _, command := range r.app.Leaves(true) {
		if flag := flagOf(command, name); flag != nil {
			key, _ := Key(r.app, command, flag)
			return fault(e.key, fmt.Sprintf("write it in its section, as %s for example", key), "%q is no flag that commands share", name)
		}
	}
	return fault(e.key, fmt.Sprintf("a key is the name of a flag without --, see %s --help", r.app.Name), "unknown key %q", name)
}

// section reads what is below a command, or below the program.
func (r *reader) section(command *kong.Node, n *yaml.Node) *Error {
	inside, err := entries(n, strings.Join(append([]string{sections}, words(command)...), "."))
	if err != nil {
		return err
	}
	for _, e := range inside {
		if child := childOf(command, e.key.Value); child != nil {
			if err := r.section(child, e.value); err != nil {
				return err
			}
			continue
		}
		flag := flagOf(command, e.key.Value)
		if flag == nil || command.Type == kong.ApplicationNode {
			of := strings.Join(append([]string{r.app.Name}, words(command)...), " ")
			return fault(e.key, fmt.Sprintf("see %s --help", of), "%q is neither a flag of %s nor a command below it", e.key.Value, of)
		}
		if err := r.set(flag, e); err != nil {
			return err
		}
	}
	return nil
}

func childOf(command *kong.Node, name string) *kong.Node {
	for _, child := range command.Children {
		if child.Name == name && !child.Hidden {
			return child
		}
	}
	return nil
}

func flagOf(command *kong.Node, name string) *kong.Flag {
	for _, flag := range command.Flags {
		if flag.Name == name && !flag.Hidden {
			return flag
		}
	}
	return nil
}

// set reads the value of a flag and checks it as the command line would.
func (r *reader) set(flag *kong.Flag, e entry) *Error {
	value, err := text(flag, e)
	if err != nil {
		return err
	}
	scratch := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch); err != nil {
		cause, _, _ := strings.Cut(err.Error(), "\n")
		return fault(e.value, "give another value, or leave the key out", "%q: %s", e.key.Value, cause)
	}
	if got, ok := value.(string); ok && flag.Enum != "" && !slices.Contains(flag.EnumSlice(), got) {
		return fault(e.value, "give one of "+strings.Join(flag.EnumSlice(), ", "), "%q is %q", e.key.Value, got)
	}
	r.file.values[flag] = setting{value, e.key.Line}
	return nil
}

// text returns the value as the command line would have it: a string, or a list of them.
func text(flag *kong.Flag, e entry) (any, *Error) {
	remedy := "give one value"
	if flag.IsSlice() {
		remedy = "give a value, or a list of them"
	}
	switch n := e.value; {
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null":
		if flag.IsSlice() {
			return []any{n.Value}, nil
		}
		return n.Value, nil
	case n.Kind == yaml.SequenceNode && flag.IsSlice():
		list := []any{}
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" {
				return nil, fault(item, remedy, "%q holds what is no text", e.key.Value)
			}
			list = append(list, item.Value)
		}
		return list, nil
	case n.Kind == yaml.ScalarNode:
		return nil, fault(n, remedy+", or leave the key out", "%q has no value", e.key.Value)
	case n.Kind == yaml.AliasNode:
		return nil, fault(n, "write the value out", "%q is an alias", e.key.Value)
	case n.Kind == yaml.MappingNode:
		return nil, fault(n, remedy, "%q is a mapping", e.key.Value)
	}
	return nil, fault(e.value, remedy, "%q is a list", e.key.Value)
}
