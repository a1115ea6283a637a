package suite

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheTextTellsWhatFailedAndWhy(t *testing.T) {
	r := run(t, Options{Seed: 7, Only: []string{"BEAT-1"}},
		check("bad", func(t *T) {
			t.Record(Step{RPC: beat, What: "as nobody", Err: status.Error(codes.NotFound, "no\x1b[2J")})
			t.Fatalf("it was not taken")
		}),
		check("lame", func(t *T) { t.Untestable("the fixtures cannot") }),
		check("good", func(*T) {}),
	)
	text := r.Text(func(s string) string { return strings.ReplaceAll(s, "\x1b", "^[") })
	for _, piece := range []string{
		"failed: BEAT-1/bad: bad\n    it was not taken\n", "Heartbeat  as nobody  NotFound  no^[[2J",
		"untestable: BEAT-1: the fixtures cannot\n", "3 checks of 1 rule, 1 cell of RPC and concern: 1 passed, 1 failed, 1 untestable; 0 rules unchecked; ",
		"seed 7\n",
	} {
		if !strings.Contains(text, piece) {
			t.Errorf("%q lacks %q", text, piece)
		}
	}
}
