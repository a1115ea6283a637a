package file

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxArgsBytes is what an agent can pass in one environment variable, rounded down.
const maxArgsBytes = 127 << 10

var (
	// pythonName is what Python takes as the name of an argument.
	pythonName = regexp.MustCompile(`^[\pL_][\pL\pM\pN_]*$`)
	// wholeNumber is a decimal whole number as JSON writes it.
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
)

// args returns the literal arguments as a JSON object, in the order of the file;
// empty when there are none.
func (d *document) args(n *yaml.Node, where taskNodes) string {
	e, ok := d.get(n, "args")
	if !ok || e.value.Kind != yaml.MappingNode || len(d.index[e.value]) == 0 {
		return ""
	}
	w := jsonWriter{document: d}
	w.write(e.value)
	switch {
	case w.odd != nil:
		d.faults.at(w.odd, func() (string, string) {
			return joined(d.nameOf(where), "args holds "+quote(w.odd.Value)+", which JSON cannot carry"), "use a finite number, or text in quotes"
		})
	case w.text.Len() > maxArgsBytes:
		d.faults.at(e.value, func() (string, string) {
			return joined(d.nameOf(where), fmt.Sprintf("args is over %d KiB as JSON", maxArgsBytes>>10)),
				"keep it in a file beside the pipeline, and pass its name"
		})
	}
	return w.text.String()
}

// checkArguments records inputs that no argument could be named after, and names
// that are both in args and in inputs.
func (d *document) checkArguments(n *yaml.Node, where taskNodes) {
	inputs, ok := d.get(n, "inputs")
	if !ok {
		return
	}
	args, _ := d.get(n, "args")
	for name, in := range d.index[inputs.value] {
		if name != "" && !pythonName.MatchString(name) && utf8.RuneCountInString(name) <= maxIdentifier {
			d.faults.at(in.key, func() (string, string) {
				return joined(d.nameOf(where), "input "+quote(name), "no argument of a Python function has such a name"), nameRemedy
			})
		}
		if args.value == nil {
			continue
		}
		arg, twice := d.get(args.value, name)
		if !twice {
			continue
		}
		later := arg.key
		if before(later, in.key) {
			later = in.key
		}
		d.faults.at(later, func() (string, string) {
			return fmt.Sprintf("%s: the argument %s is in args and in inputs", d.nameOf(where), quote(name)), "keep one of the two"
		})
	}
}

const nameRemedy = "use letters, digits and _, and no digit first"

// jsonWriter writes a YAML tree as JSON, numbers as exact as they stand in the file.
type jsonWriter struct {
	*document
	text strings.Builder
	odd  *yaml.Node // the first number that JSON does not have; nil: none
}

func (w *jsonWriter) write(n *yaml.Node) {
	if w.text.Len() > maxArgsBytes {
		return // too long already, and aliases could make it much longer
	}
	n = target(n)
	switch n.Kind {
	case yaml.MappingNode:
		w.writeMapping(n)
	case yaml.SequenceNode:
		w.text.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.text.WriteByte(',')
			}
			w.write(item)
		}
		w.text.WriteByte(']')
	default:
		w.writeScalar(n)
	}
}

func (w *jsonWriter) writeMapping(n *yaml.Node) {
	w.text.WriteByte('{')
	first := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := target(n.Content[i])
		if e, ok := w.get(n, key.Value); !ok || e.key != key {
			continue // no text, or a double: recorded already
		}
		if !first {
			w.text.WriteByte(',')
		}
		first = false
		w.encode(key.Value)
		w.text.WriteByte(':')
		w.write(n.Content[i+1])
	}
	w.text.WriteByte('}')
}

func (w *jsonWriter) writeScalar(n *yaml.Node) {
	tag := n.ShortTag()
	if tag != "!!int" && tag != "!!float" {
		w.encode(w.convertScalar(n))
		return
	}
	if wholeNumber.MatchString(n.Value) && n.Style&yaml.TaggedStyle == 0 { // of any length
		w.text.WriteString(n.Value)
		return
	}
	var value any
	if n.Decode(&value) == nil {
		switch value.(type) {
		case int, int64, uint64: // such as 0x10 or 1_000
			w.encode(value)
			return
		}
	}
	number, ok := w.convertScalar(n).(float64)
	if !ok && w.odd == nil {
		w.odd = n
	}
	text, _ := json.Marshal(number) // finite, so it cannot fail
	if wholeNumber.Match(text) {
		text = append(text, ".0"...) // 1.0 stays what Python calls a float
	}
	w.text.Write(text)
}

func (w *jsonWriter) encode(v any) {
	text, _ := json.Marshal(v) // text, whole numbers, booleans and null cannot fail
	w.text.Write(text)
}
