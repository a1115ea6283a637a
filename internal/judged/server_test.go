package judged

import (
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/suite"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

// TestOurServerPassesEveryCheck is over TLS, and over fixtures that kill the server and
// start it again. What takes plaintext is the next test's.
func TestOurServerPassesEveryCheck(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) string{
		"SQLite": func(testing.TB) string { return "" }, "PostgreSQL": pgtest.Database,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits a lot
			o := conformance.Options{TimeScale: slowly}
			if partly {
				o.Rules = []string{"STATE-9", "LOG-3", "ISO-5"}
			}
			r := conformance.RunServer(t, bench(t, true, database(t)), o)
			want(t, r, func(c suite.Result) suite.Status {
				if c.Rule == "SECRET-1" {
					return suite.Untestable
				}
				return suite.Passed
			})
		})
	}
}

// TestOurServerPassesWhatTakesPlaintext looks at secrets, which do not travel there.
func TestOurServerPassesWhatTakesPlaintext(t *testing.T) {
	r := conformance.RunServer(t, bench(t, false, ""), conformance.Options{TimeScale: slowly, Rules: []string{"REG", "SECRET"}})
	want(t, r, func(c suite.Result) suite.Status {
		if strings.HasPrefix(c.Rule, "SECRET-") && c.Rule != "SECRET-1" {
			return suite.Untestable
		}
		return suite.Passed
	})
}

// want fails the test for each check that ended otherwise, and for a rule without one.
func want(t *testing.T, r *suite.Results, status func(suite.Result) suite.Status) {
	t.Helper()
	for _, c := range r.Checks {
		if want := status(c); c.Status != want {
			t.Errorf("%s is %s, not %s: %s", c.Check, c.Status, want, c.Reason)
		}
	}
	if len(r.Checks) == 0 || len(r.Unchecked) > 0 {
		t.Errorf("%d checks; rules without one: %v", len(r.Checks), r.Unchecked)
	}
}
