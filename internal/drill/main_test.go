package drill

import (
	"context"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if builtIn != "" {
			_ = os.RemoveAll(builtIn) // in the place of what is temporary, in any case
		}
		os.Exit(code)
	}))
}

// builtIn is the directory that the program is in; empty: nobody asked for it.
var builtIn string

// built is the leoflow command, built once for all drills.
var built = sync.OnceValues(func() (_ string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if builtIn, err = os.MkdirTemp("", "leoflow-drill-"); err != nil {
		return "", err
	}
	return Build(ctx, builtIn)
})
