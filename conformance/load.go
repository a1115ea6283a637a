package conformance

import (
	_ "embed"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

//go:embed rules.yaml
var source []byte

// Load returns the catalogue of rules that is part of the program.
func Load() (*catalogue.Catalogue, error) { return catalogue.Parse("rules.yaml", source) }
