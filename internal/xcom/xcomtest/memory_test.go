package xcomtest_test

import (
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom/xcomtest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	xcomtest.Contract(t, func(*testing.T) xcomtest.Bed {
		m := xcomtest.NewMemory()
		return xcomtest.Bed{
			Repo: m,
			Launch: func(_ *testing.T, tenant string, key domain.TaskKey) domain.AttemptRef {
				return m.Launch(tenant, key)
			},
			Finish: func(_ *testing.T, ref domain.AttemptRef) { m.Settle(ref, domain.ErrFinished) },
			Cancel: func(*testing.T, domain.AttemptRef) {}, // bars no value
		}
	})
}
