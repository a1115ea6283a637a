package xcom

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// cachedSchemas is how many compiled schemas are kept, the last used ones.
	cachedSchemas = 512
	// maxExponent and maxNumberBytes bound a number: checking it exactly takes all
	// its digits.
	maxExponent    = 1_000
	maxNumberBytes = 4_000
	// schemaURL names the one document that a schema may refer to.
	schemaURL = "schema:///"
)

// CompileSchema checks that text is a JSON Schema that values can be held against
// and returns it for [Service.PushFrom], its numbers with every digit. It must be an
// object, and refer to nothing outside itself but the drafts' own schemas: nothing
// is read, from no file and no network. Empty text is no schema, nil.
//
// Without "$schema" it is of draft 2020-12. Formats are asserted only as its draft
// says; patterns are RE2, hence linear in time.
func CompileSchema(text []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	doc, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("JSON Schema: %w", err)
	}
	schema, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("JSON Schema: not an object")
	}
	if _, err := compile(text); err != nil {
		return nil, err
	}
	return schema, nil
}

// schemas compiles each schema once, by the digest of its text.
type schemas struct {
	compiled *lru.Cache[[sha256.Size]byte, *jsonschema.Schema]
}

func newSchemas() (*schemas, error) {
	cache, err := lru.New[[sha256.Size]byte, *jsonschema.Schema](cachedSchemas)
	if err != nil {
		return nil, err
	}
	return &schemas{cache}, nil
}

// check returns nil, [ErrSchemaMismatch], or a fault for a schema that does not compile.
func (s *schemas) check(schema map[string]any, value []byte) error {
	compiled, err := s.of(schema)
	if err != nil {
		return err
	}
	doc, err := decode(value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSchemaMismatch, err)
	}
	if err := compiled.Validate(doc); err != nil {
		return fmt.Errorf("%w: %w", ErrSchemaMismatch, err)
	}
	return nil
}

func (s *schemas) of(schema map[string]any) (*jsonschema.Schema, error) {
	text, err := json.Marshal(schema) // keys in order: equal schemas have equal text
	if err != nil {
		return nil, fmt.Errorf("JSON Schema: %w", err)
	}
	digest := sha256.Sum256(text)
	if compiled, ok := s.compiled.Get(digest); ok {
		return compiled, nil
	}
	compiled, err := compile(text)
	if err != nil {
		return nil, err
	}
	s.compiled.Add(digest, compiled)
	return compiled, nil
}

func compile(text []byte) (*jsonschema.Schema, error) {
	doc, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("JSON Schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(closedLoader{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, fmt.Errorf("JSON Schema: %w", err)
	}
	compiled, err := c.Compile(schemaURL)
	if err != nil {
		return nil, fmt.Errorf("JSON Schema: %w", err)
	}
	return compiled, nil
}

// closedLoader reads nothing: a schema comes from whoever creates a run.
type closedLoader struct{}

// Load implements jsonschema.URLLoader.
func (closedLoader) Load(string) (any, error) {
	return nil, errors.New("a reference may not leave the document")
}

// decode returns the one JSON value in text, its numbers as json.Number, each
// small enough to be held against a schema.
func decode(text []byte) (any, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if err := checkNumbers(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		return checkNumber(string(v))
	case []any:
		for _, item := range v {
			if err := checkNumbers(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, item := range v {
			if err := checkNumbers(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkNumber(text string) error {
	if len(text) > maxNumberBytes {
		return fmt.Errorf("a number is longer than %d digits", maxNumberBytes)
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(text[i+1:])
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			return fmt.Errorf("a number has an exponent beyond ±%d", maxExponent)
		}
	}
	return nil
}
