// Package specdiff tells what changed between two editions of the spec where `buf
// breaking` does not look: in validation rules and in policies, which are options.
// A tightened limit or a changed scope leaves the wire as it is, and breaks who
// relies on it all the same.
//
// It may import gen and protobuf reflection. Options of the spec must be linked in
// where a set is decoded; those that are not are compared byte by byte.
package specdiff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/descriptorpb"
)

// Change is one value of one option that differs.
type Change struct {
	// Path names the option to its last field, as in
	// "leoflow.agent.v1.PushXComRequest.key [validate.rules].string.max_len".
	Path string
	// Old and New are its values as text; empty: it is not set.
	Old, New string
}

// String reads "path: old → new".
func (c Change) String() string {
	return fmt.Sprintf("%s: %s → %s", c.Path, cmp.Or(c.Old, "(none)"), cmp.Or(c.New, "(none)"))
}

// Compare lists every option that an element of before and after, a message, field,
// oneof, enum, value, service, method or file, carries with another value, or in one
// of them only. The list is sorted by path.
func Compare(before, after *descriptorpb.FileDescriptorSet) []Change {
	was, is := flatten(before), flatten(after)
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if was[path] != is[path] {
			changes = append(changes, Change{Path: path, Old: was[path], New: is[path]})
		}
	}
	for path, value := range is {
		if _, ok := was[path]; !ok {
			changes = append(changes, Change{Path: path, New: value})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}
