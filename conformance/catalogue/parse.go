package catalogue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a catalogue as it is written.
type document struct {
	Edition int `yaml:"edition"`
	Words   []struct {
		Word    string `yaml:"word"`
		Meaning string `yaml:"meaning"`
	} `yaml:"words"`
	Evidence  []Term   `yaml:"evidence"`
	Abilities []Term   `yaml:"abilities"`
	Families  []Family `yaml:"families"`
	Rules     []entry  `yaml:"rules"`
}

// entry is a rule as it is written.
type entry struct {
	ID        string   `yaml:"id"`
	Level     Level    `yaml:"level"`
	Side      Side     `yaml:"side"`
	RPCs      oneOrAll `yaml:"rpcs"`
	Evidence  Evidence `yaml:"evidence"`
	Needs     []string `yaml:"needs"`
	Since     int      `yaml:"since"`
	Options   []string `yaml:"options"`
	Statement string   `yaml:"statement"`
	Rationale string   `yaml:"rationale"`
	Tests     []string `yaml:"tests"`
}

// oneOrAll is a list, or the word `all` in place of one.
type oneOrAll []string

// UnmarshalYAML takes both.
func (o *oneOrAll) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Value == "all" {
		*o = oneOrAll{node.Value}
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return fmt.Errorf("line %d: rpcs is neither a list nor `all`", node.Line)
	}
	*o = list
	return nil
}

// ReadFile reads a catalogue as [Parse] does.
func ReadFile(path string) (*Catalogue, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a catalogue strictly. Its error has a line for each fault, and each names
// the file and the line.
func Parse(name string, data []byte) (*Catalogue, error) {
	var doc document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil {
		return nil, syntax(name, err)
	}
	if err := decoder.Decode(new(document)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more than one document", name)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, syntax(name, err)
	}
	r := reader{name: name, root: root.Content[0], doc: doc}
	r.read()
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	return &r.out, nil
}

var (
	linePrefix = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	goType     = regexp.MustCompile(` in type conformance\.\w+$`)
)

// syntax tells the decoder's faults by file and line, and without words of Go.
func syntax(name string, err error) error {
	lines := []string{err.Error()}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		lines = several.Errors
	}
	faults := make([]error, len(lines))
	for i, line := range lines {
		line = goType.ReplaceAllString(line, "")
		if m := linePrefix.FindStringSubmatch(line); m != nil {
			line = m[1] + ": " + line[len(m[0]):]
		}
		faults[i] = fmt.Errorf("%s:%s", name, line)
	}
	return errors.Join(faults...)
}

// reader turns a document into a catalogue and gathers what is wrong with it.
type reader struct {
	name   string
	root   *yaml.Node
	doc    document
	out    Catalogue
	faults []error
}

// fault notes what is wrong at a path of keys and indices, or where that path ends.
func (r *reader) fault(path []any, format string, args ...any) {
	at := fmt.Sprintf("%s:%d: ", r.name, line(r.root, path))
	r.faults = append(r.faults, fmt.Errorf(at+format, args...))
}

// line returns the line of what a path of keys and indices leads to, as far as it leads.
func line(node *yaml.Node, path []any) int {
	at := node.Line
	for _, step := range path {
		switch step := step.(type) {
		case int:
			if step >= len(node.Content) {
				return at
			}
			node = node.Content[step]
			at = node.Line
		case string:
			key, value := find(node, step)
			if key == nil {
				return at
			}
			node, at = value, key.Line
		}
	}
	return at
}

// find returns a key of a mapping and its value; nil: it has no such key.
func find(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 1; i < len(mapping.Content); i += 2 {
		if mapping.Content[i-1].Value == name {
			return mapping.Content[i-1], mapping.Content[i]
		}
	}
	return nil, nil
}

func (r *reader) read() {
	if r.out.edition = r.doc.Edition; r.out.edition < 1 {
		r.fault([]any{"edition"}, "edition is %d, not 1 or more", r.doc.Edition)
	}
	for _, word := range r.doc.Words {
		r.out.words = append(r.out.words, Term{ID: word.Word, Meaning: word.Meaning})
	}
	r.out.evidence, r.out.abilities, r.out.families = r.doc.Evidence, r.doc.Abilities, r.doc.Families
	r.terms("words", r.out.words)
	r.terms("evidence", r.out.evidence)
	r.terms("abilities", r.out.abilities)
	if told := idsOf(r.out.evidence); !slices.Equal(told, textsOf(Evidences())) {
		r.fault([]any{"evidence"}, "evidence tells of %v, not of %v", told, Evidences())
	}
	r.rules()
	r.everyOneUsed()
}

func (r *reader) terms(key string, terms []Term) {
	for i, term := range terms {
		path := []any{key, i}
		if term.ID == "" || strings.TrimSpace(term.Meaning) == "" {
			r.fault(path, "an entry of %s lacks its name or its meaning", key)
		}
		if slices.Contains(idsOf(terms[:i]), term.ID) {
			r.fault(path, "%s tells of %q twice", key, term.ID)
		}
	}
}

// everyOneUsed finds families and abilities that no rule has.
func (r *reader) everyOneUsed() {
	for i, f := range r.out.families {
		if len(r.out.Rules(Filter{Family: f.ID})) == 0 {
			r.fault([]any{"families", i}, "the family %q has no rule", f.ID)
		}
		if strings.TrimSpace(f.Title) == "" {
			r.fault([]any{"families", i}, "the family %q has no title", f.ID)
		}
	}
	for i, ability := range r.out.abilities {
		if !slices.ContainsFunc(r.out.rules, func(rule Rule) bool { return slices.Contains(rule.Needs, ability.ID) }) {
			r.fault([]any{"abilities", i}, "no rule needs the ability %q", ability.ID)
		}
	}
}

func idsOf(terms []Term) []string {
	out := make([]string, len(terms))
	for i, term := range terms {
		out[i] = term.ID
	}
	return out
}

func textsOf[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
