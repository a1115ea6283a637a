package store_test

import (
	"context"
	"testing"

	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/store/storetest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		dir := t.TempDir()
		return func(t *testing.T, env storetest.Env) storetest.Store {
			t.Helper()
			s, err := store.Open(context.Background(), store.Config{
				Dir: dir, Clock: env.Clock, NewID: env.NewID, Sealer: env.Sealer,
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
