package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
)

// returnsURL is the base of a return schema. Nothing can be loaded from it.
const returnsURL = "leoflow:///returns"

// returns reads the JSON Schema of a task's return value and compiles it; nil
// when there is none.
func (d *document) returns(n *yaml.Node, where taskNodes) map[string]any {
	e, ok := d.get(n, "returns")
	if !ok || e.value.Kind != yaml.MappingNode {
		return nil
	}
	if d.checkNumbers(e.value, where) {
		return nil
	}
	doc, ok := d.valueAt("tasks", strconv.Itoa(where.index), "returns").(map[string]any)
	if !ok {
		return nil
	}
	text, err := json.Marshal(doc)
	if err == nil && len(text) > maxSchemaBytes {
		err = fmt.Errorf("it is over %d KiB as JSON", maxSchemaBytes>>10)
	}
	if err == nil {
		err = compile(doc)
	}
	if err != nil {
		d.returnsFault(e.value, where, err)
		return nil
	}
	return doc
}

// valueAt returns the JSON value at a path; nil when there is none.
func (d *document) valueAt(path ...string) any {
	at := d.value
	for _, token := range path {
		switch v := at.(type) {
		case map[string]any:
			at = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// compile reports why doc is no usable JSON Schema. The library is not proof
// against every malformed schema; a file must not end us.
func compile(doc map[string]any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it cannot be compiled: %v", v)
		}
	}()
	compiler := newCompiler()
	if err := compiler.AddResource(returnsURL, doc); err != nil {
		return err
	}
	_, err = compiler.Compile(returnsURL)
	return err
}

// returnsFault records why the schema at n does not compile, at the part of it
// that is to blame where that is known.
func (d *document) returnsFault(n *yaml.Node, where taskNodes, err error) {
	const remedy = "correct the JSON Schema of the return value"
	at, why := n, strings.ReplaceAll(err.Error(), returnsURL, "")
	var path []string
	var invalid *jsonschema.SchemaValidationError
	var regex *jsonschema.InvalidRegexError
	var dangling *jsonschema.JSONPointerNotFoundError
	var load *jsonschema.LoadURLError
	switch {
	case errors.As(err, &invalid):
		path, at, why = d.worst(n, invalid)
	case errors.As(err, &regex):
		path = pointer(regex.URL)
		at, why = d.find(n, path).value, fmt.Sprintf("%s is not a regular expression", quote(regex.Regex))
	case errors.As(err, &dangling):
		_, fragment, _ := strings.Cut(dangling.URL, "#")
		at, why = d.reference(n, "#"+fragment), fmt.Sprintf("nothing stands at %s", quote("#"+fragment))
	case errors.As(err, &load):
		ref := strings.TrimPrefix(load.URL, "leoflow:///")
		at, why = d.reference(n, ref), fmt.Sprintf("it refers to %s, but only references within the schema are followed", quote(ref))
	}
	d.faults.at(at, func() (string, string) {
		return joined(d.nameOf(where), strings.Join(append([]string{"returns"}, path...), "."), why), remedy
	})
}

// worst returns the place of the first error in the schema and what it is.
func (d *document) worst(n *yaml.Node, schemaErr *jsonschema.SchemaValidationError) (path []string, at *yaml.Node, why string) {
	var invalid *jsonschema.ValidationError
	if !errors.As(schemaErr.Err, &invalid) {
		return nil, n, schemaErr.Err.Error()
	}
	rank := 0
	for _, leaf := range leavesOf(invalid, nil) {
		node, r := d.find(n, leaf.InstanceLocation).value, 0
		if _, ok := leaf.ErrorKind.(*kind.Type); ok {
			r = 1 // of several things that a value could be, a list of the right ones says most
		}
		text := english(leaf.ErrorKind)
		if at == nil || before(node, at) || node == at && (r < rank || r == rank && text < why) {
			path, at, why, rank = leaf.InstanceLocation, node, text, r
		}
	}
	return path, at, why
}

// pointer returns the keys of the JSON pointer in a URL's fragment.
func pointer(location string) []string {
	_, fragment, _ := strings.Cut(location, "#")
	if text, err := url.PathUnescape(fragment); err == nil {
		fragment = text
	}
	if fragment == "" || fragment[0] != '/' {
		return nil
	}
	tokens := strings.Split(fragment[1:], "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens
}

// reference returns the first text below n that refers to ref, or else n.
func (d *document) reference(n *yaml.Node, ref string) *yaml.Node {
	found := n
	d.walk(n, func(v *yaml.Node) bool {
		base, _, _ := strings.Cut(v.Value, "#")
		if isText(v) && (v.Value == ref || base == ref) {
			found = v
			return false
		}
		return true
	})
	return found
}

// walk visits n and all below it, aliases followed, until visit returns false.
func (d *document) walk(n *yaml.Node, visit func(*yaml.Node) bool) bool {
	n = target(n)
	if !visit(n) {
		return false
	}
	for _, child := range n.Content {
		if !d.walk(child, visit) {
			return false
		}
	}
	return true
}

// maxExact bounds the whole numbers on which JSON readers agree: it is the first
// that a float64 confuses with its neighbour.
const maxExact = 1 << 53

// checkNumbers records a number below n that JSON does not have or would change,
// and reports whether there is one.
func (d *document) checkNumbers(n *yaml.Node, where taskNodes) bool {
	bad := false
	d.walk(n, func(v *yaml.Node) bool {
		tag := v.ShortTag()
		if v.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" {
			return true
		}
		number, ok := d.convertScalar(v).(float64)
		if ok && (tag == "!!float" || number > -maxExact && number < maxExact) {
			return true
		}
		bad = true
		d.faults.at(v, func() (string, string) {
			return fmt.Sprintf("%s: returns holds %s, which JSON cannot carry exactly", d.nameOf(where), quote(v.Value)),
				"use a finite number, whole ones below 2^53"
		})
		return false
	})
	return bad
}
