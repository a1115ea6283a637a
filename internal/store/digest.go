package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/internal/domain"
)

// digest returns the digest of a run's content. Two runs have the same when they
// differ in nothing but the order of their tasks, the order of what a task
// declares, and what is empty or absent.
func digest(run domain.NewRun) ([]byte, error) {
	tasks := make([]domain.TaskDefinition, len(run.Tasks))
	for i, t := range run.Tasks {
		tasks[i] = canonical(t)
	}
	slices.SortFunc(tasks, func(a, b domain.TaskDefinition) int { return strings.Compare(a.TaskID, b.TaskID) })
	text, err := json.Marshal(struct {
		DagVersion string
		Tasks      []domain.TaskDefinition
	}{run.DagVersion, tasks})
	if err != nil {
		return nil, fmt.Errorf("digest of a run: %w", err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// canonical returns t with its sets in order and nothing empty but not nil.
func canonical(t domain.TaskDefinition) domain.TaskDefinition {
	t.Variables, t.Connections = set(t.Variables), set(t.Connections)
	if len(t.Spec.Environment) == 0 {
		t.Spec.Environment = nil
	}
	if len(t.Spec.XComInputMapping) == 0 {
		t.Spec.XComInputMapping = nil
	}
	return t
}

// set returns the different elements of names in order.
func set(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// encodeSpec returns a specification as it is stored.
func encodeSpec(spec domain.TaskSpec) ([]byte, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("store a specification: %w", err)
	}
	return text, nil
}

// decodeSpec returns a stored specification. Numbers of its schema are
// json.Number, with every digit.
func decodeSpec(text []byte) (domain.TaskSpec, error) {
	var spec domain.TaskSpec
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&spec); err != nil {
		return domain.TaskSpec{}, fmt.Errorf("read a stored specification: %w", err)
	}
	return spec, nil
}
