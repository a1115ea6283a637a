package store

import "github.com/neochaotic/leoflow/ent"

// WriterOf returns what a store writes with, for tests that plant faults.
func WriterOf(s *Store) *ent.Client { return s.writer }
