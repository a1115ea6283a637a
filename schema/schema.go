// Package schema holds the published JSON Schemas, embedded so that the program
// and an editor judge a file by the same text.
//
// It may import the standard library only.
package schema

import _ "embed"

// Pipeline is the JSON Schema (draft 2020-12) of a pipeline file, as JSON text.
//
//go:embed pipeline.schema.json
var Pipeline string
