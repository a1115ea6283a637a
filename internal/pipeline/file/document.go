package file

import (
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDepth is how deep values may nest, aliases followed.
	maxDepth = 100
	// maxAliasNodes is how many values aliases may stand for in a file, so that
	// a few lines cannot grow to fill the memory.
	maxAliasNodes = 100_000
)

// document is a YAML tree, the JSON value that it stands for, and what is wrong
// with it so far.
type document struct {
	root   *yaml.Node
	value  any // as encoding/json decodes it; numbers are float64
	faults faults

	hopeless bool // value was given up: the tree may be endless
	open     map[*yaml.Node]bool
	aliased  int // values seen through aliases
	nested   int // aliases that the walk is inside of
	index    map[*yaml.Node]map[string]entry
}

// entry is a key of a mapping and its value, aliases followed.
type entry struct{ key, value *yaml.Node }

func newDocument(root *yaml.Node) *document {
	d := &document{
		root:  root,
		open:  map[*yaml.Node]bool{},
		index: map[*yaml.Node]map[string]entry{},
	}
	d.value = d.convert(root, 0)
	return d
}

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// giveUp records a fault after which the tree is not to be walked.
func (d *document) giveUp(n *yaml.Node, problem, remedy string) any {
	d.hopeless = true
	d.faults.at(n, func() (string, string) { return problem, remedy })
	return nil
}

// convert returns the JSON value of n, and records every fault of YAML itself:
// keys that are double or no text, merge keys, unknown tags, endless aliases.
func (d *document) convert(n *yaml.Node, depth int) any {
	if d.hopeless {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		if d.open[n.Alias] {
			return d.giveUp(n, fmt.Sprintf("alias %s stands for a value that contains itself", quote("*"+n.Value)), "write the value out")
		}
		d.nested++
		defer func() { d.nested-- }()
		n = n.Alias
	}
	if d.nested > 0 {
		if d.aliased++; d.aliased > maxAliasNodes {
			return d.giveUp(n, fmt.Sprintf("aliases expand to more than %d values", maxAliasNodes), "use fewer aliases")
		}
	}
	if depth > maxDepth {
		return d.giveUp(n, fmt.Sprintf("values nest more than %d deep", maxDepth), "nest less deeply")
	}
	d.open[n] = true
	defer delete(d.open, n)
	switch n.Kind {
	case yaml.MappingNode:
		d.checkTag(n, "!!map")
		return d.convertMapping(n, depth)
	case yaml.SequenceNode:
		d.checkTag(n, "!!seq")
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, d.convert(item, depth+1))
		}
		return list
	default:
		return d.convertScalar(n)
	}
}

func (d *document) checkTag(n *yaml.Node, want string) {
	if tag := n.ShortTag(); tag != want {
		d.faults.at(n, func() (string, string) {
			return "the YAML tag " + quote(tag) + " is not supported here", "remove the tag"
		})
	}
}

func (d *document) convertMapping(n *yaml.Node, depth int) any {
	object := make(map[string]any, len(n.Content)/2)
	entries := make(map[string]entry, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := target(n.Content[i]), n.Content[i+1]
		converted := d.convert(value, depth+1)
		if !d.checkKey(n.Content[i], key) {
			continue
		}
		if before, twice := entries[key.Value]; twice {
			d.faults.at(n.Content[i], func() (string, string) {
				return fmt.Sprintf("duplicate key %s, first at line %d", quote(key.Value), before.key.Line), "keep one of the two"
			})
			continue
		}
		entries[key.Value] = entry{key: key, value: target(value)}
		object[key.Value] = converted
	}
	d.index[n] = entries
	return object
}

// checkKey reports whether key, which stands at node at, is text.
func (d *document) checkKey(at, key *yaml.Node) bool {
	problem, remedy := "", ""
	switch tag := key.ShortTag(); {
	case key.Kind != yaml.ScalarNode:
		problem, remedy = "a key must be text, not "+kindName(key), "write a plain key"
	case tag == "!!merge":
		problem, remedy = `merge keys ("<<") are not supported`, "write the keys out; what all tasks share can go into the pipeline's env"
	case !isText(key):
		problem, remedy = fmt.Sprintf("key %s is %s, not text", quote(key.Value), kindName(key)), "put the key in quotes"
	default:
		return true
	}
	d.faults.at(at, func() (string, string) { return problem, remedy })
	return false
}

// isText reports whether n is text; a date is, since JSON has no dates.
func isText(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return true
	}
	return false
}

// isScalar reports whether n is text, a number or a boolean.
func isScalar(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null"
}

func (d *document) convertScalar(n *yaml.Node) any {
	tag := n.ShortTag()
	var value any
	switch tag {
	case "!!null":
		return nil
	case "!!str", "!!timestamp", "!!merge":
		return n.Value
	case "!!int", "!!float", "!!bool":
		if err := n.Decode(&value); err != nil {
			d.faults.at(n, func() (string, string) {
				return fmt.Sprintf("%s does not fit its YAML tag %s", quote(n.Value), quote(tag)), "remove the tag"
			})
			return n.Value
		}
	default:
		d.checkTag(n, "!!str")
		return n.Value
	}
	switch v := value.(type) {
	case bool:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
	return n.Value // not a number of JSON: .inf and .nan are kept as text
}

// kindName says in words what n is.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	}
	return "text"
}

// get returns the entry of a mapping; false when n is no mapping or has no such key.
func (d *document) get(n *yaml.Node, key string) (entry, bool) {
	e, ok := d.index[n][key]
	return e, ok
}

// find returns the entry at a path of keys and item numbers from n, or the
// deepest one that is there.
func (d *document) find(n *yaml.Node, path []string) entry {
	at := entry{key: n, value: n}
	for _, token := range path {
		next, ok := d.get(at.value, token)
		if at.value.Kind == yaml.SequenceNode {
			next, ok = item(at.value, token)
		}
		if !ok {
			break
		}
		at = next
	}
	return at
}

func item(n *yaml.Node, token string) (entry, bool) {
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || i >= len(n.Content) {
		return entry{}, false
	}
	value := target(n.Content[i])
	return entry{key: value, value: value}, true
}
