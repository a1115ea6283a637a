package store

import (
	"fmt"
	"testing"
)

func TestPrint(t *testing.T) {
	OnEach(t, func(t *testing.T, fresh func(testing.TB) Config) {
		s := mustOpen(t, fresh(t))
		fmt.Println(s.statements.beat.text, s.statements.beat.args)
	})
}
