package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/bench"
	"github.com/neochaotic/leoflow/internal/store"
)

// within is how long a mode takes at most, on a machine that is busy.
const within = 2 * time.Minute

// ourServer starts one of ours in a process of its own.
func ourServer(t *testing.T) *subject {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	s, err := setup{on: "sqlite", conns: 1, dataDir: t.TempDir()}.start(ctx, &console{io.Discard, io.Discard})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// parsed is the JSON that a run which ends well prints.
func parsed[T any](t *testing.T, args ...string) T {
	t.Helper()
	code, out, errOut := benchRun(t, append(args, "-o", "json")...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	return decoded[T](t, out)
}

func decoded[T any](t *testing.T, out string) T {
	t.Helper()
	var got T
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

func TestLoadOnAServerThatIsThere(t *testing.T) {
	s := ourServer(t)
	tokens, err := bench.Populate(t.Context(), s.conns[0], s.hello.Operator, "live", 4)
	if err != nil {
		t.Fatal(err)
	}
	// What a bare server is sent is no less.
	if same, err := strangers("live", 1); err != nil || len(same[0]) != len(tokens[0]) {
		t.Errorf("tokens of strangers: %q, %v, unlike %q", same, err, tokens[0])
	}
	rows := parsed[[]map[string]any](t, "load", "--addr", s.hello.Addr, "--tokens", file(t, strings.Join(tokens, "\n")),
		"--workers", "2", "--conns", "1", "--for", "100ms")
	var ops []string
	for _, r := range rows {
		ops = append(ops, r["op"].(string))
		for _, key := range []string{"per_second", "calls", "p50_ns", "p99_ns"} {
			if n, ok := r[key].(float64); !ok || n <= 0 {
				t.Errorf("%s: %s is %v", r["op"], key, r[key])
			}
		}
	}
	want := []string{"heartbeat", "spec", "push", "fetch", "logs", "report"} // which ends them
	if !slices.Equal(ops, want) {
		t.Errorf("measured %v, want %v", ops, want)
	}
	code, _, errOut := benchRun(t, "load", "--addr", s.hello.Addr, "--tokens", file(t, strings.Join(tokens, " ")),
		"--workers", "1", "--conns", "1", "--for", "30ms", "--op", "heartbeat")
	if code != exitFailed || !strings.Contains(errOut, "terminate") {
		t.Errorf("attempts that are over: exit code %d: %s", code, errOut)
	}
}

func TestLoadOnNobody(t *testing.T) {
	code, _, errOut := benchRun(t, "load", "--addr", "127.0.0.1:1", "--tokens", file(t, "x"), "--workers", "1", "--for", "10ms")
	if code != exitFailed || !strings.Contains(errOut, "Unavailable") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestComparedWithBare(t *testing.T) {
	rows := parsed[[]row](t, "compare", "--target", "sqlite", "--target", "sqlite-direct",
		"--workers", "2", "--conns", "1", "--live", "2", "--rounds", "1", "--for", "150ms", "--op", "heartbeat", "--op", "logs")
	var names []string
	for _, r := range rows {
		names = append(names, string(r.Op)+" "+r.Target)
		if r.PerSecond <= 0 || r.RSS <= 0 || r.OfBare <= 0 || (r.Target == "sqlite") != (r.OfDirect > 0) {
			t.Errorf("%+v", r)
		}
	}
	want := []string{"heartbeat bare", "heartbeat sqlite", "heartbeat sqlite-direct", "logs bare", "logs sqlite", "logs sqlite-direct"}
	if !slices.Equal(names, want) {
		t.Errorf("compared %v, want %v", names, want)
	}
}

func TestBeatsOfManyAttempts(t *testing.T) {
	got := parsed[beatsReport](t, "beats", "--attempts", "60", "--tenants", "2", "--every", "100ms", "--for", "500ms", "--workers", "8", "--conns", "2")
	if got.Attempts != 60 || got.Fleet.Beats != 300 || got.Lost != 0 || got.Fleet.Failed != 0 || len(got.Fleet.Ended) != 0 {
		t.Errorf("%+v", got)
	}
	if got.Server.RSSPeak < got.Server.RSSMean || got.Server.RSSMean <= 0 || got.PerBeat <= 0 || got.PerSecond <= 0 {
		t.Errorf("%+v", got)
	}
}

// TestBeatsFailsForALostAttempt: what is told is held, too.
func TestBeatsFailsForALostAttempt(t *testing.T) {
	for name, report := range map[string]beatsReport{
		"not live any more":             {Attempts: 3, Lost: 1},
		"1 of 3 attempts":               {Attempts: 3, Lost: 1, Fleet: bench.FleetResult{Ended: map[string]int{"LOST": 1}}},
		"LOST":                          {Attempts: 3, Fleet: bench.FleetResult{Ended: map[string]int{"LOST": 1}}},
		"up to 31s after they were due": {Fleet: bench.FleetResult{Behind: 31 * time.Second}},
		"2 beats were not":              {Attempts: 3, Fleet: bench.FleetResult{Failed: 2, FirstFailure: "oh"}},
	} {
		err := report.judge()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&beatsReport{Attempts: 3, Fleet: bench.FleetResult{Beats: 9, Late: 4, Behind: fellBehind}}).judge(); err != nil {
		t.Error(err)
	}
}

func TestGrowthOfALog(t *testing.T) {
	got := parsed[[]grown](t, "growth", "--axis", "log", "--largest", "100", "--rounds", "1", "--for", "50ms", "--launches", "1", "--most", "1e9") // whatever else the machine does
	for _, g := range got {
		if g.Axis != "lines of a log" || g.Small.Size != 10 || g.Large.Size != 100 || g.Small.P50 <= 0 || g.Large.P50 <= 0 {
			t.Errorf("%+v", g)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d calls", len(got))
	}
}

func TestGrowthFailsForWhatGrows(t *testing.T) {
	all := []grown{{Axis: "tenants", Call: "launch", Small: growthCost{Size: 1}, Large: growthCost{Size: 9}, Ratio: 2.5}}
	err := tooFar(all, 2)
	if err == nil || !strings.Contains(err.Error(), "tenants: launch with 9 costs 2.50 of what it costs with 1, must be at most 2.00") {
		t.Error(err)
	}
	if err := tooFar(all, 2.5); err != nil {
		t.Error(err)
	}
}

// checkArgs are for a check that takes a moment.
func checkArgs(bounds string) []string {
	return []string{"check", "--bounds", bounds, "--rounds", "1", "--for", "200ms", "--live", "4", "--workers", "2", "--conns", "1"}
}

const looseBounds = "- {op: heartbeat, server: sqlite, of_bare: 0.001, of_direct: 0.001, cpu: 5000}\n- {op: report, server: sqlite, of_bare: 0.0001}\n"

// ofTheServers runs a check again and again until it ends as is wanted, and fails
// the test where it never does: what a check measures in a moment in which the machine stands
// still is nothing of the servers.
func ofTheServers(t *testing.T, args []string, wanted func(code int, out, errOut string) bool) {
	t.Helper()
	args = append(args, "-o", "json")
	var code int
	var out, errOut string
	for range 5 {
		if code, out, errOut = benchRun(t, args...); wanted(code, out, errOut) {
			return
		}
	}
	t.Errorf("exit code %d: %s\n%s", code, errOut, out)
}

func TestCheckHoldsBounds(t *testing.T) {
	ofTheServers(t, checkArgs(file(t, looseBounds)), func(code int, out, _ string) bool {
		got := decoded[[]verdict](t, out)
		good := code == exitOK && len(got) == 2 && got[0].Op == bench.Heartbeat && got[1].Op == bench.Report
		for _, v := range got {
			good = good && v.Held && v.Got.OfBare > 0 && (v.OfDirect > 0) == (v.Got.OfDirect > 0) && v.Rounds == 1
		}
		return good
	})
}

func TestCheckFailsForABrokenBound(t *testing.T) {
	code, out, errOut := benchRun(t, checkArgs(file(t, "- {op: spec, server: sqlite, of_bare: 77e6}"))...)
	if code != exitFailed || !strings.Contains(errOut, "spec on sqlite: ") || !strings.Contains(errOut, "must be at least 77000000.00") || !strings.Contains(out, "broken") {
		t.Errorf("exit code %d: %s\n%s", code, errOut, out)
	}
}

// TestCheckFindsAHandlerThatBecameSlow: at a bound that holds otherwise, and that the slow one breaks
// unless the bare server makes a dozen calls in a second.
func TestCheckFindsAHandlerThatBecameSlow(t *testing.T) {
	t.Setenv(slowEnv, "GetTaskSpec")
	bounds := "- {op: spec, server: sqlite, of_bare: 0.3}\n- {op: heartbeat, server: sqlite, of_bare: 0.001}"
	ofTheServers(t, append(checkArgs(file(t, bounds)), "--for", "1s"), func(code int, _, errOut string) bool {
		return code == exitFailed && strings.Contains(errOut, "spec on sqlite: ") && strings.Contains(errOut, "must be at least 0.30") && !strings.Contains(errOut, "heartbeat")
	})
}

// TestTheCommittedBoundsAreOfEveryOp: none is forgotten.
func TestTheCommittedBoundsAreOfEveryOp(t *testing.T) {
	list, err := bench.ReadBounds(bench.Bounds(), ourServers)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range bench.Ops() {
		if !slices.ContainsFunc(list, func(b bench.Bound) bool { return b.Op == op }) {
			t.Errorf("no bound of %s", op)
		}
	}
	for _, name := range serversOf(list)[1:] {
		if !slices.Contains(targets, name) {
			t.Errorf("%s cannot be compared", name)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	round := func(perSecond float64, cpu, database time.Duration) row {
		return row{PerSecond: perSecond, CPU: cpu, Database: database}
	}
	of := func(name string, rows ...row) *rival {
		return &rival{name: name, rounds: map[bench.Op][]row{bench.Push: rows}}
	}
	if got := ratiosOf(bench.Push, of("bare", round(2, 0, 0)), of("sqlite", round(1, 3, 0)), nil); got[0] != (bench.Ratios{OfBare: 0.5}) {
		t.Errorf("%+v: processor time that nobody could tell", got)
	}
	bare := of("bare", round(100, 10, 0), round(10, 100, 0), round(1000, 1, 0))
	ours := of("postgres", round(50, 20, 10), round(6, 250, 50), round(400, 3, 1))
	direct := of("postgres-direct", round(25, 0, 0), round(2, 0, 0), round(400, 0, 0))
	got := ratiosOf(bench.Push, bare, ours, direct)
	want := []bench.Ratios{{OfBare: 0.5, OfDirect: 2, CPU: 3}, {OfBare: 0.6, OfDirect: 3, CPU: 3}, {OfBare: 0.4, OfDirect: 1, CPU: 4}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := bench.MedianRatios(got), (bench.Ratios{OfBare: 0.5, OfDirect: 2, CPU: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	rows := table([]bench.Op{bench.Push}, []*rival{bare, ours, direct})
	if len(rows) != 3 || rows[1].OfBare != 0.5 || rows[1].OfDirect != 2 || rows[2].OfDirect != 0 {
		t.Errorf("%+v", rows) // of the medians: 50 of 100, and of 25
	}
}

func TestFormsShowTheSame(t *testing.T) {
	s := sheet{heads: []string{"op", "ops/s"}, lines: [][]string{{"spec", "12"}}}
	for form, want := range map[string]string{
		"table":      "    op  ops/s\n  spec     12\n",
		formMarkdown: "| op | ops/s |\n| --: | --: |\n| spec | 12 |\n",
	} {
		var out strings.Builder
		if err := s.write(&out, form); err != nil || out.String() != want {
			t.Errorf("%s: %v, %q, want %q", form, err, out.String(), want)
		}
	}
}

func TestAChildThatDiesIsTold(t *testing.T) {
	_, _, err := startChild(t.Context(), &console{io.Discard, io.Discard}, "", "ours", "--data-dir", file(t, ""), "--write-path", string(store.Batched))
	if err == nil || !strings.Contains(fmt.Sprint(err), "no greeting") {
		t.Error(err)
	}
}

func TestMarkdownNamesTheMachine(t *testing.T) {
	var out strings.Builder
	s := sheet{heads: []string{"op"}, lines: [][]string{{"spec"}}}
	if err := (form{Output: formMarkdown}).show(&console{&out, io.Discard}, nil, &s); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "On "+bench.Machine()) || !strings.HasSuffix(out.String(), ":\n\n| op |\n| --: |\n| spec |\n") {
		t.Errorf("%q", out.String())
	}
}

func TestStreamsTellsWhatAStreamTakes(t *testing.T) {
	got := parsed[[]held](t, "streams", "--streams", "40", "--conns", "2", "--sample", "3", "--lines", "20", "--rest", "10ms")
	if len(got) != 2 || got[0].Target != bareName || got[1].Target != "sqlite" {
		t.Fatalf("of %+v", got)
	}
	for _, row := range got {
		if row.Streams != 40 || row.RSS <= 0 || row.Files != 2 && row.Target == bareName || row.FilesAfter < row.Files {
			t.Errorf("%+v", row)
		}
	}
	if got[1].FilesAfter <= got[1].Files {
		t.Errorf("%d files are open, and %d after lines through 3 streams", got[1].Files, got[1].FilesAfter)
	}
}
