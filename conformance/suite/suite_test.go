package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

const beat = catalogue.RPC(agentv1.AgentService_Heartbeat_FullMethodName)

func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	rules, err := catalogue.ReadFile("../rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// check is one of BEAT-1 that runs a function after a step of its RPC.
func check(word string, run func(*T)) Check {
	return Check{
		ID: "BEAT-1/" + word, Rule: "BEAT-1", RPCs: []catalogue.RPC{beat}, Name: word, Parallel: true,
		Run: func(t *T) {
			t.Record(Step{RPC: beat})
			run(t)
		},
	}
}

func run(t *testing.T, o Options, checks ...Check) *Results {
	t.Helper()
	o.Rules, o.Side = load(t), catalogue.Server
	r, err := Run(t.Context(), checks, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAStatusForEachEnd(t *testing.T) {
	cleaned := 0
	r := run(
		t, Options{},
		check("pass", func(t *T) { t.Cleanup(func() { cleaned++ }) }),
		check("fail", func(t *T) { t.Errorf("first %d", 1); t.Errorf("second") }),
		check("fatal", func(t *T) {
			t.Cleanup(func() { cleaned++ })
			func() { t.Fatalf("stopped") }()
			panic("it went on")
		}),
		check("skip", func(c *T) { c.Skip("not bound"); panic("it went on") }),
		check("untestable", func(t *T) { t.Untestable("no fixture"); panic("it went on") }),
		check("failed-then-untestable", func(t *T) { t.Errorf("it is wrong"); t.Untestable("no fixture") }),
		check("panic", func(*T) { panic("a slip") }),
		check("cleanup-panics", func(t *T) { t.Cleanup(func() { panic("a slip") }) }),
		check("broken", func(t *T) { t.Broken("the fixtures failed") }),
		check("cleanup-fails", func(t *T) { t.Cleanup(func() { t.Errorf("left behind") }) }),
	)
	want := map[string][2]string{
		"pass": {"passed", ""}, "fail": {"failed", "first 1\nsecond"}, "fatal": {"failed", "stopped"},
		"skip": {"skipped", "not bound"}, "untestable": {"untestable", "no fixture"},
		"failed-then-untestable": {"failed", "it is wrong"}, "panic": {"error", "the check panicked: a slip"},
		"cleanup-panics": {"error", "the check panicked: a slip"}, "broken": {"error", "the fixtures failed"},
		"cleanup-fails": {"failed", "left behind"},
	}
	for word, w := range want {
		if got := r.Check("BEAT-1/" + word); string(got.Status) != w[0] || got.Reason != w[1] {
			t.Errorf("%s: %s, %q; want %s, %q", word, got.Status, got.Reason, w[0], w[1])
		}
	}
	if cleaned != 2 || r.ExitCode() != 4 {
		t.Errorf("%d cleanups ran, and the exit code is %d", cleaned, r.ExitCode())
	}
}

func TestACheckThatLookedAtNothingDoesNotPass(t *testing.T) {
	r := run(t, Options{}, Check{ID: "BEAT-1/blind", Rule: "BEAT-1", RPCs: []catalogue.RPC{beat}, Name: "x", Run: func(t *T) { t.Note("hello") }},
		Check{ID: "BEAT-1/idle", Rule: "BEAT-1", Name: "x", Run: func(*T) {}})
	for _, id := range []string{"BEAT-1/blind", "BEAT-1/idle"} {
		if got := r.Check(id); got.Status != Broken {
			t.Errorf("%s: %s", id, got.Status)
		}
	}
}

// TestAHungCheckIsFailedAndTheOthersGoOn has one that hears of nothing and one that waits
// for its context.
func TestAHungCheckIsFailedAndTheOthersGoOn(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	deaf := check("deaf", func(t *T) {
		t.Cleanup(func() { t.Errorf("too late to count") })
		<-release
	})
	deaf.Parallel = false
	good := check("good", func(*T) {})
	good.Deadline = time.Hour // it waits for nothing, but the machine may
	r := run(t, Options{TimeScale: 0.01}, deaf, check("waits", func(t *T) { <-t.Context().Done() }), good)
	for word, want := range map[string]Status{"deaf": Failed, "waits": Failed, "good": Passed} {
		if got := r.Check("BEAT-1/" + word); got.Status != want {
			t.Errorf("%s: %s: %s", word, got.Status, got.Reason)
		}
	}
	if r.ExitCode() != 1 {
		t.Errorf("exit code %d", r.ExitCode())
	}
}

func TestTheOrderAndTheChoicesComeFromTheSeed(t *testing.T) {
	order := func(seed uint64, parallel int) (string, map[string]uint64) {
		var mu sync.Mutex
		var ids []string
		drawn := map[string]uint64{}
		var checks []Check
		for i := range 20 {
			word := fmt.Sprint(i)
			checks = append(checks, check(word, func(t *T) {
				mu.Lock()
				defer mu.Unlock()
				ids, drawn[word] = append(ids, word), t.Rand().Uint64()
			}))
		}
		run(t, Options{Seed: seed, Parallel: parallel}, checks...)
		return strings.Join(ids, " "), drawn
	}
	a, drawn := order(1, 1)
	b, again := order(1, 4)
	c, other := order(2, 1)
	if again2, _ := order(1, 1); a != again2 {
		t.Errorf("the same seed gave %s and %s", a, again2)
	}
	if a == c || maps.Equal(drawn, other) {
		t.Errorf("another seed gave the same order or choices: %s", c)
	}
	if !maps.Equal(drawn, again) {
		t.Errorf("choices depend on what runs beside: %s, %s", a, b)
	}
}

func TestACheckThatIsAloneIsAlone(t *testing.T) {
	var mu sync.Mutex
	under, alone := 0, false
	enter := func(exclusive bool) func(*T) {
		return func(t *T) {
			mu.Lock()
			under++
			alone = alone || exclusive
			if alone && under > 1 {
				t.Errorf("%d checks run beside one that must be alone", under-1)
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				under--
				alone = alone && !exclusive
			}()
		}
	}
	var checks []Check
	for i := range 40 {
		c := check(fmt.Sprint(i), enter(i%4 == 0))
		c.Parallel = i%4 != 0
		checks = append(checks, c)
	}
	r := run(t, Options{Parallel: 8, Repeat: 5}, checks...)
	if r.Count(Passed) != 40 {
		t.Errorf("%d passed", r.Count(Passed))
	}
	if got := r.Checks[0].Runs; got != 5 {
		t.Errorf("%d runs of 5", got)
	}
}

func TestTheWorstRepetitionCounts(t *testing.T) {
	n := 0
	r := run(t, Options{Repeat: 4}, check("flaky", func(t *T) {
		if n++; n == 3 {
			t.Errorf("once in a while")
		}
	}))
	if got := r.Checks[0]; got.Status != Failed || got.Bad != 1 || got.Runs != 4 || !strings.Contains(got.Reason, "repetition 3") {
		t.Errorf("%+v", got)
	}
}

func TestKnownFailures(t *testing.T) {
	bad, good := check("bad", func(t *T) { t.Errorf("wrong") }), check("good", func(*T) {})
	for _, c := range []struct {
		known map[string]string
		want  Status
		stale []string
		exit  int
	}{
		{nil, Failed, nil, 1},
		{map[string]string{"BEAT-1/bad": "we work on it"}, KnownFailing, nil, 0},
		{map[string]string{"BEAT-1": "we work on it"}, KnownFailing, nil, 0},
		{map[string]string{"BEAT-1/good": "old", "BEAT-1/bad": "we work on it"}, KnownFailing, []string{"BEAT-1/good"}, 1},
	} {
		r := run(t, Options{KnownFailing: c.known}, bad, good)
		if got := r.Check("BEAT-1/bad"); got.Status != c.want || !slices.Equal(r.Stale, c.stale) || r.ExitCode() != c.exit {
			t.Errorf("%v: %s, stale %v, exit code %d", c.known, got.Status, r.Stale, r.ExitCode())
		}
	}
}

func TestBadOptionsAndChecksAreRefusedBeforeAnythingRuns(t *testing.T) {
	never := check("x", func(*T) { t.Error("it ran") })
	rules := load(t)
	for want, c := range map[string]struct {
		o      Options
		checks []Check
	}{
		"there is no catalogue":           {Options{}, []Check{never}},
		`there is no rule "BEAT`:          {Options{Rules: rules, Only: []string{"BEAT" + "-99"}}, []Check{never}},
		`there is no check "BEAT-1/y"`:    {Options{Rules: rules, Only: []string{"BEAT-1/y"}}, []Check{never}},
		"has no reason":                   {Options{Rules: rules, KnownFailing: map[string]string{"BEAT-1": " "}}, []Check{never}},
		`known failing: there is no rule`: {Options{Rules: rules, KnownFailing: map[string]string{"NO" + "-1": "x"}}, []Check{never}},
		"skip: there is no rule":          {Options{Rules: rules, Skip: map[string]string{"NO" + "-1": "x"}}, []Check{never}},
		"say why it is left out":          {Options{Rules: rules, Skip: map[string]string{"BEAT-1": ""}}, []Check{never}},
		"not negative":                    {Options{Rules: rules, Repeat: -1}, []Check{never}},
		"there is another of this id":     {Options{Rules: rules}, []Check{never, never}},
		"the rule is left to tests":       {Options{Rules: rules}, []Check{{ID: "AUTH-8/x", Rule: "AUTH-8", Name: "x", Run: never.Run}}},
		"a slash and a word":              {Options{Rules: rules}, []Check{{ID: "BEAT-2/x", Rule: "BEAT-1", Name: "x", Run: never.Run}}},
		"the rule is not about":           {Options{Rules: rules}, []Check{{ID: "REG-1/x", Rule: "REG-1", Name: "x", RPCs: []catalogue.RPC{beat}, Run: never.Run}}},
		"it lacks its name":               {Options{Rules: rules}, []Check{{ID: "REG-1/x", Rule: "REG-1"}}},
		"the family goes from":            {Options{Rules: rules}, []Check{{ID: "BEAT" + "-77/x", Rule: "BEAT" + "-77", Name: "x", Run: never.Run}}},
	} {
		if _, err := Run(t.Context(), c.checks, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

func TestWhatIsChosen(t *testing.T) {
	other := Check{ID: "BEAT-7/x", Rule: "BEAT-7", RPCs: []catalogue.RPC{beat}, Name: "x", Run: func(t *T) { t.Record(Step{RPC: beat}) }}
	one := check("x", func(*T) {})
	for want, o := range map[string]Options{
		"BEAT-1/x BEAT-7/x": {},
		"BEAT-1/x":          {Level: catalogue.Must},
		"BEAT-7/x":          {Only: []string{"BEAT-7"}},
		"":                  {RPC: catalogue.RPC(agentv1.AgentService_Register_FullMethodName)},
	} {
		var got []string
		r := run(t, o, one, other)
		for _, c := range r.Checks {
			got = append(got, c.Check)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v chose %v", o, got)
		}
		if len(got) == 0 && r.ExitCode() != 1 {
			t.Errorf("a run that proved nothing has the exit code %d", r.ExitCode())
		}
	}
	r := run(t, Options{Only: []string{"BEAT"}}, one)
	if want := []string{"BEAT-2", "BEAT-3", "BEAT-4", "BEAT-5", "BEAT-6", "BEAT-7"}; !slices.Equal(r.Unchecked, want) {
		t.Errorf("unchecked are %v", r.Unchecked)
	}
}

func TestAuth8EvidenceHasNoTokenAndNoSecret(t *testing.T) {
	r := run(t, Options{}, check("x", func(t *T) {
		t.Hide("the-token")
		t.Note("sent the-token")
		t.Record(Step{
			RPC: beat, Received: &agentv1.HeartbeatResponse{RenewedToken: "renewed-token"},
			Err: status.Error(codes.Internal, "no good: the-token"),
		})
		t.Record(Step{RPC: beat, Received: &agentv1.GetVariablesResponse{Variables: map[string]string{"NAME": "its-value"}}})
		t.Record(Step{Err: errors.New("the-token")})
		t.Errorf("the-token was taken")
	}))
	text := fmt.Sprintf("%+v", r)
	for _, secret := range []string{"the-token", "renewed-token", "its-value"} {
		if strings.Contains(text, secret) {
			t.Errorf("the results hold %q: %s", secret, text)
		}
	}
	if !strings.Contains(text, "NAME") || !strings.Contains(text, redacted) {
		t.Errorf("the names are lost: %s", text)
	}
}

// TestAuth8NoPartOfATokenIsKept has a token across the place at which messages are cut,
// and one that no check knows of.
func TestAuth8NoPartOfATokenIsKept(t *testing.T) {
	const begin, unknown = "the-begin-of", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmVk"
	long := strings.Repeat("x", maxText-len(begin)) + begin + "-a-token"
	r := run(t, Options{}, check("x", func(t *T) {
		t.Hide(begin+"-a-token", begin+"-a-token")
		t.Note("%s", long)
		t.Record(Step{RPC: beat, Sent: &agentv1.LogLine{Message: long[len(`{"message":"`):]}, Err: status.Error(codes.Internal, long)})
		t.Record(Step{Err: errors.New("refused: " + unknown)})
		t.Errorf("%s", long)
		t.Errorf("the adapter printed %s", unknown)
	}))
	text := fmt.Sprintf("%+v", r)
	for _, secret := range []string{begin, "eyJ", "c2lnbmVk"} {
		if strings.Contains(text, secret) {
			t.Errorf("the results hold %q", secret)
		}
	}
	if !strings.Contains(text, "refused: "+redacted) {
		t.Errorf("the rest is lost: %s", text)
	}
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	checks := []Check{check("a", func(*T) { cancel() }), check("b", func(*T) { cancel() })}
	r, err := Run(ctx, checks, Options{Rules: load(t), Side: catalogue.Server})
	if err != nil || !r.Interrupted || r.Count(Skipped) != 2 || r.ExitCode() != 1 {
		t.Fatalf("%v, %+v", err, r)
	}
	for _, c := range r.Checks {
		if !c.NotRun {
			t.Errorf("%+v", c)
		}
	}
}

// TestAnInterruptionIsNobodysFailure has checks that wait for what the interruption keeps
// from them, and that look for what did not happen.
func TestAnInterruptionIsNobodysFailure(t *testing.T) {
	for word, c := range map[string]struct {
		run  func(*T, func())
		want Status
	}{
		"waits in vain":    {func(t *T, cancel func()) { cancel(); <-t.Context().Done(); t.Fatalf("it did not come") }, Skipped},
		"is not prepared":  {func(t *T, cancel func()) { cancel(); t.Broken("the fixtures are cancelled") }, Skipped},
		"sees nothing":     {func(t *T, cancel func()) { cancel(); <-t.Context().Done() }, Skipped},
		"had failed":       {func(t *T, cancel func()) { t.Errorf("it is wrong"); cancel(); t.Fatalf("and more") }, Failed},
		"is itself broken": {func(_ *T, cancel func()) { cancel(); panic("a slip") }, Broken},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Run(ctx, []Check{check("x", func(t *T) { c.run(t, cancel) })}, Options{Rules: load(t), Side: catalogue.Server})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Checks[0]; got.Status != c.want || got.NotRun != (c.want == Skipped) || strings.Contains(got.Reason, "more") {
			t.Errorf("%s: %s, %q", word, got.Status, got.Reason)
		}
	}
}

func TestLongTextsAreCutAtACharacter(t *testing.T) {
	if got := cut(strings.Repeat("ü", maxText)); !strings.HasSuffix(got, fmt.Sprintf("… (%d bytes)", 2*maxText)) || strings.Contains(got, "\ufffd") {
		t.Errorf("%q", got[len(got)-40:])
	}
	if scaled(time.Second, 0.5) != 500*time.Millisecond {
		t.Error("a wait is not scaled")
	}
}
