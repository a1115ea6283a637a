package serversuite

import (
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// keyChecks are of tokens that are good, and neither new nor fresh.
func keyChecks(target *Target) []suite.Check {
	return []suite.Check{
		single(target, "AUTH-9", "former-key", "a key that signs no more still opens", formerKey, getTaskSpec, heartbeat, reportState),
		single(target, "TOKEN-2", "ceiling", "no renewal reaches beyond the attempt's ceiling", ceilingHolds, heartbeat),
	}
}

func formerKey(w *world) {
	a := w.launch(worker, queued)
	a.control(heartbeat, 1)
	a.wantUnauthenticated(heartbeat, minted(conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY)(a), exercises[heartbeat].request(w, 1))
	old := &attempt{w, a.ref, w.mint(a.ref, conformancev1.TokenDefect_TOKEN_DEFECT_FORMER_KEY)}
	old.control(getTaskSpec, 1)
	old.control(heartbeat, 1)
	old.control(reportState, 1)
	a.control(heartbeat, 2) // and the key that signs now opens as before
}

func ceilingHolds(w *world) {
	w.needs("renewal")
	a := w.launch(worker, running)
	got, err := w.target.Fixtures.MintToken(w.t.Context(), &conformancev1.MintTokenRequest{
		Attempt: a.ref, Defect: conformancev1.TokenDefect_TOKEN_DEFECT_NEAR_CEILING,
	})
	w.fixture("make a token that is near-ceiling", err)
	w.t.Hide(got.GetToken())
	if got.GetCeiling() == nil {
		w.t.Broken("the fixtures do not tell the ceiling of a token that is near it")
	}
	ceiling := got.GetCeiling().AsTime()
	_, free := lifeOf(w.launch(stranger, running).due().renewed().token)
	if free.IsZero() {
		w.t.Untestable("the tokens do not tell when they end")
	}
	if !free.After(ceiling) {
		w.t.Broken("a token that is far from its ceiling is renewed until %v, and the ceiling is %v: it bounds nothing", free, ceiling)
	}
	last := &attempt{w, a.ref, got.GetToken()}
	last = last.renewed()
	for range 3 {
		_, end := lifeOf(last.token)
		w.t.Note("renewed until %v; the ceiling is %v", end, ceiling)
		if end.After(ceiling.Add(time.Second)) { // tokens count in seconds
			w.t.Fatalf("an attempt whose tokens may live until %v was given one until %v", ceiling, end)
		}
		if got := last.beat().GetRenewedToken(); got != "" { // it may go on renewing what gains nothing
			w.t.Hide(got)
			last = &attempt{w, a.ref, got}
		}
	}
}
