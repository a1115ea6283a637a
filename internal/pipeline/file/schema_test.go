package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/neochaotic/leoflow/schema"
)

const examples = "../../../examples"

func TestExamplesParse(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("examples: %v, %v", paths, err)
	}
	for _, path := range paths {
		p, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if name := strings.TrimSuffix(filepath.Base(path), ".yaml"); p.Name != name {
			t.Errorf("%s: name is %q: an example is named after its file", path, p.Name)
		}
		checkConsistent(t, p)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=../schema/pipeline.schema.json\n") {
			t.Errorf("%s does not begin by naming the schema", path)
		}
	}
}

func TestTheSchemaIsValid(t *testing.T) {
	doc := schemaDocument(t)
	if got := doc["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
		t.Fatalf("$schema is %v", got)
	}
	meta, err := newCompiler().Compile("https://json-schema.org/draft/2020-12/schema")
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Validate(doc); err != nil {
		t.Error(err)
	}
}

func schemaDocument(t *testing.T) map[string]any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Pipeline))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)
}

// TestTheSchemaIsClosedAndDescribed visits every subschema: a mapping takes no
// key that is not named, and each key and definition says what it is.
func TestTheSchemaIsClosedAndDescribed(t *testing.T) {
	described := 0
	var visit func(at string, value any)
	visit = func(at string, value any) {
		s, ok := value.(map[string]any)
		if !ok {
			return
		}
		if s["type"] == "object" && !strings.HasSuffix(at, "/returns") && s["additionalProperties"] != false {
			t.Errorf("%s takes any key", at)
		}
		for _, group := range []string{"properties", "$defs", "patternProperties"} {
			members, _ := s[group].(map[string]any)
			for name, member := range members {
				m, ok := member.(map[string]any)
				if !ok {
					continue // false: such a key is refused
				}
				if text, _ := m["description"].(string); !strings.HasSuffix(text, ".") {
					t.Errorf("%s/%s has no description that is a sentence: %q", at, name, text)
				}
				described++
				visit(at+"/"+name, member)
			}
		}
		visit(at+"/items", s["items"])
	}
	visit("", schemaDocument(t))
	if described < 20 {
		t.Errorf("only %d keys and definitions were visited", described)
	}
}

// TestEveryKeyHasARemedy keeps the table of remedies beside the schema.
func TestEveryKeyHasARemedy(t *testing.T) {
	root := pipelineSchema()
	for _, properties := range []map[string]*jsonschema.Schema{root.Properties, root.Properties["tasks"].Items2020.Ref.Properties} {
		for name := range properties {
			if remedies[name] == "" {
				t.Errorf("no remedy for %q", name)
			}
		}
	}
	for _, synonyms := range []map[string]string{pipelineSynonyms, taskSynonyms} {
		for from, to := range synonyms {
			if remedies[to] == "" {
				t.Errorf("%q is said to mean %q, which is no key", from, to)
			}
		}
	}
}
