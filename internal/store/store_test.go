package store_test

import (
	"context"
	"testing"

	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/store/storetest"
)

func TestEveryDialectKeepsTheContract(t *testing.T) {
	store.OnEachWay(t, func(t *testing.T, fresh func(testing.TB) store.Config) {
		storetest.Run(t, func(t *testing.T) storetest.Opener {
			return opener(fresh(t), func(s *store.Store) storetest.Store { return s })
		})
	})
}

// opener opens stores at a place, each with a fault planted in it.
func opener(place store.Config, plant func(*store.Store) storetest.Store) storetest.Opener {
	return func(t *testing.T, env storetest.Env) storetest.Store {
		t.Helper()
		s, err := store.Open(context.Background(), store.Config{
			Dir: place.Dir, DSN: place.DSN, WritePath: place.WritePath, Clock: env.Clock, NewID: env.NewID, Sealer: env.Sealer,
		})
		if err != nil {
			t.Fatal(err)
		}
		return plant(s)
	}
}
