package file

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/neochaotic/leoflow/schema"
)

// pipelineSchema compiles the published schema, once.
var pipelineSchema = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Pipeline))
	if err != nil {
		panic("the embedded schema is not JSON: " + err.Error())
	}
	compiler := newCompiler()
	const url = "urn:leoflow:schema:pipeline"
	if err := compiler.AddResource(url, doc); err != nil {
		panic("the embedded schema cannot be added: " + err.Error())
	}
	return compiler.MustCompile(url)
})

// nothingElse is a loader that loads nothing: what is not embedded is refused.
type nothingElse struct{}

func (nothingElse) Load(string) (any, error) {
	return nil, errors.New("only references within the schema are followed")
}

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothingElse{})
	return c
}

// conform holds the document against the published schema.
func (d *document) conform() {
	if d.hopeless {
		return
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(pipelineSchema().Validate(d.value), &invalid) {
		return
	}
	leaves := leavesOf(invalid, nil)
	// A key that is missing is most likely the one that is misspelt.
	misspelt := map[string]bool{}
	for _, leaf := range leaves {
		if _, ok := leaf.ErrorKind.(*kind.AdditionalProperties); ok {
			misspelt[pathKey(leaf.InstanceLocation)] = true
		}
	}
	for _, leaf := range leaves {
		if lacksKey(leaf.ErrorKind) && misspelt[pathKey(leaf.InstanceLocation)] {
			continue
		}
		d.schemaFault(leaf)
	}
}

// lacksKey reports whether an error is that a key is not there.
func lacksKey(k jsonschema.ErrorKind) bool {
	switch k := k.(type) {
	case *kind.Required, *kind.DependentRequired:
		return true
	case *kind.OneOf:
		return len(k.Subschemas) == 0
	}
	return false
}

// leavesOf lists the errors that have no further cause, or whose causes say less
// than they do.
func leavesOf(e *jsonschema.ValidationError, to []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if _, choice := e.ErrorKind.(*kind.OneOf); choice || len(e.Causes) == 0 {
		return append(to, e)
	}
	for _, cause := range e.Causes {
		to = leavesOf(cause, to)
	}
	return to
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// schemaFault records an error of the schema at the node that it is about.
func (d *document) schemaFault(e *jsonschema.ValidationError) {
	path := slices.Clone(e.InstanceLocation)
	at := d.find(d.root, path)
	node := at.value
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		node = d.firstKey(at, k.Properties)
	case *kind.FalseSchema:
		node = at.key
	case *kind.DependentRequired:
		node = d.firstKey(at, []string{k.Prop})
	case *kind.OneOf:
		node = d.secondOperator(at)
	case *kind.UniqueItems:
		path = append(path, strconv.Itoa(k.Duplicates[1]))
		node = d.find(at.value, path[len(path)-1:]).value
	}
	d.faults = append(d.faults, fault{
		line: node.Line, column: node.Column,
		rank: kindRank(e.ErrorKind), key: pathKey(path),
		say: func() (string, string) { return d.explain(e.ErrorKind, path) },
	})
}

// kindRank orders the errors of one value: a value of the wrong type before
// what is wrong with its content. Faults that the schema does not find are 0.
func kindRank(k jsonschema.ErrorKind) int {
	switch k.(type) {
	case *kind.Type:
		return 1
	case *kind.MinLength, *kind.MinItems:
		return 2
	case *kind.Required:
		return 4
	case *kind.OneOf:
		return 5
	}
	return 3
}

// firstKey returns the node of the key that stands first of those in names.
func (d *document) firstKey(at entry, names []string) *yaml.Node {
	node := at.value
	for i, name := range names {
		if e, ok := d.get(at.value, name); ok && (i == 0 || before(e.key, node)) {
			node = e.key
		}
	}
	return node
}

// secondOperator returns the key that is one operator too many; the task, where it
// has none.
func (d *document) secondOperator(at entry) *yaml.Node {
	bash, ok := d.get(at.value, OperatorBash)
	python, too := d.get(at.value, OperatorPython)
	switch {
	case !ok || !too:
		return at.value
	case before(bash.key, python.key):
		return python.key
	}
	return bash.key
}

func before(a, b *yaml.Node) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
}

// explain says what is wrong at a path, and what to do.
func (d *document) explain(k jsonschema.ErrorKind, path []string) (problem, remedy string) {
	about := func(predicate string) string { return d.subject(path) + " " + predicate }
	switch k := k.(type) {
	case *kind.Type:
		at := d.find(d.root, path).value
		got := kindName(at)
		if got == "a number" && k.Want[0] == "integer" {
			got = at.Value
		}
		return about("must be " + wanted(path, k.Want) + ", not " + got), remedyFor(path)
	case *kind.Required:
		missing := slices.Sorted(slices.Values(k.Missing))[0]
		return d.within(path, "missing "+quote(missing)), remedyFor(append(path, missing))
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return about("has both bash and python"), "keep one of the two: a task runs one thing"
		}
		return d.within(path, `missing "bash" or "python"`), remedies[OperatorBash] + "; or " + remedies[OperatorPython]
	case *kind.DependentRequired:
		return d.within(path, "args is for python tasks only"), "put the values into env, where a script finds them"
	case *kind.AdditionalProperties:
		at := d.find(d.root, path)
		key := d.firstKey(at, k.Properties).Value
		if field := fieldOf(path); field == "env" || field == "inputs" || field == "args" {
			return d.explainName(key, append(path, key))
		}
		return d.within(path, "unknown key "+quote(key)), d.knownKeys(key, at, path)
	case *kind.MinLength, *kind.MinItems:
		return about("is empty"), remedyFor(path)
	case *kind.MaxLength:
		return about(fmt.Sprintf("is %d characters long", k.Got)), fmt.Sprintf("use at most %d", k.Want)
	case *kind.MaxItems:
		return about(fmt.Sprintf("lists %d items", k.Got)), fmt.Sprintf("use at most %d", k.Want)
	case *kind.MaxProperties:
		return about(fmt.Sprintf("holds %d entries", k.Got)), fmt.Sprintf("use at most %d", k.Want)
	case *kind.UniqueItems:
		return about("is listed twice"), "remove one of the two"
	case *kind.Minimum, *kind.Maximum:
		return about("is " + d.find(d.root, path).value.Value), remedyFor(path)
	case *kind.Enum:
		return d.explainEnum(k, path)
	case *kind.Pattern:
		return d.explainPattern(k.Got, path)
	case *kind.FalseSchema:
		return about("is reserved: it is set for the task"), "choose another name"
	}
	return about("is wrong: " + english(k)), remedyFor(path)
}

// explainPattern says which character, or lack of any, a pattern refused.
func (d *document) explainPattern(got string, path []string) (problem, remedy string) {
	name := d.subject(path)
	switch {
	case fieldOf(path) == "timeout":
		return badTimeout(name, got)
	case fieldOf(path) == "retry_delay", fieldOf(path) == "retry_delay_max":
		return badDelay(name, got)
	case fieldOf(path) == OperatorPython:
		return name + " " + quote(got) + " is not module:function", remedyFor(path)
	case strings.ContainsRune(got, 0):
		return name + " holds a NUL character", "remove it: no program can be given one"
	case fieldOf(path) == "bash":
		return name + " is an empty script", remedyFor(path)
	}
	return name + " holds a control character: " + quote(got), "remove it"
}

// explainEnum says which of the words that a field may have was meant.
func (d *document) explainEnum(k *kind.Enum, path []string) (problem, remedy string) {
	at := d.find(d.root, path).value
	if !isText(at) {
		return d.subject(path) + " must be text, not " + kindName(at), remedyFor(path)
	}
	words := make([]string, len(k.Want))
	for i, word := range k.Want {
		words[i] = fmt.Sprint(word)
	}
	problem, remedy = d.subject(path)+" is "+quote(at.Value)+", which is no rule", "the rules are "+strings.Join(words, ", ")
	if guess, ok := suggest(at.Value, words, whenSynonyms); ok {
		remedy = fmt.Sprintf("did you mean %q? %s", guess, remedy)
	}
	return problem, remedy
}

// explainName says what is wrong with a key that the user may choose.
func (d *document) explainName(name string, path []string) (problem, remedy string) {
	subject := d.subject(path)
	field := fieldOf(path)
	switch {
	case name == "":
		return subject + ": the name is empty", "give it a name"
	case field == "args":
		return subject + ": no argument of a Python function has such a name", nameRemedy
	case len([]rune(name)) > maxIdentifier:
		return subject + fmt.Sprintf(": the name is %d characters long", len([]rune(name))), fmt.Sprintf("use at most %d", maxIdentifier)
	case field == "env":
		return subject + `: the name holds "=" or a NUL character`, "use letters, digits and _"
	}
	return subject + ": the name holds a control character", "remove it"
}

// english is the library's own account of an error, for kinds not met above.
func english(k jsonschema.ErrorKind) string {
	return k.LocalizedString(message.NewPrinter(language.English))
}

// knownKeys suggests a key for an unknown one.
func (d *document) knownKeys(key string, at entry, path []string) string {
	known := pipelineSchema().Properties
	synonyms := pipelineSynonyms
	root := len(path) == 0
	switch {
	case root:
	case path[0] == "defaults":
		known, synonyms = known["defaults"].Properties, taskSynonyms
	default:
		known, synonyms = known["tasks"].Items2020.Ref.Properties, taskSynonyms
	}
	names := slices.Sorted(maps.Keys(known))
	list := "the keys here are " + strings.Join(names, ", ")
	if !root && key == "http_api" {
		return "bash and python are the only operators so far"
	}
	free := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, taken := d.get(at.value, name)
		return taken
	})
	if guess, ok := suggest(key, free, synonyms); ok {
		return fmt.Sprintf("did you mean %q? %s", guess, list)
	}
	return list
}
