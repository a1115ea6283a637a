package serversuite

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// renewChecks are of tokens that heartbeats bring.
func renewChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, end := range ends() {
		out = append(out, single(target, "TOKEN-1", end.word, "an attempt that is "+end.word+" is not renewed", func(w *world) {
			a := w.launch(worker, running)
			due := a.due()
			due.renewed()
			end.come(a)
			got := due.beat()
			if !got.GetShouldTerminate() || got.GetRenewedToken() != "" {
				w.t.Fatalf("an attempt that is %s was answered {%v}", end.word, got)
			}
		}, heartbeat))
	}
	return append(out,
		single(target, "TOKEN-1", "unknown", "nobody's attempt is not renewed", func(w *world) {
			w.launch(worker, running).due().renewed()
			if got := w.unknown().due().beat(); !got.GetShouldTerminate() || got.GetRenewedToken() != "" {
				w.t.Fatalf("an unknown attempt was answered {%v}", got)
			}
		}, heartbeat),
		single(target, "TOKEN-2", "identity", "a renewed token says the same, and lives no longer than a fresh one", renewedSame, heartbeat),
		single(target, "TOKEN-3", "ignored", "the old token is good until its own end", func(w *world) {
			a := w.launch(worker, running).due()
			for range 2 {
				a.renewed()
			}
			a.control(pushXCom, 1)
			a.accepted(saySuccess)
			a.wantState(success, "a report with the old token")
		}, heartbeat, pushXCom, reportState),
	)
}

// due is the attempt with a token that a heartbeat should renew.
func (a *attempt) due() *attempt {
	a.w.needs("renewal")
	return &attempt{a.w, a.ref, a.w.mint(a.ref, conformancev1.TokenDefect_TOKEN_DEFECT_DUE)}
}

// renewed beats, and is the attempt with the token that came.
func (a *attempt) renewed() *attempt {
	got := a.beat()
	if token := got.GetRenewedToken(); token != "" && !got.GetShouldTerminate() {
		a.w.t.Hide(token)
		return &attempt{a.w, a.ref, token}
	}
	a.w.t.Fatalf("a live attempt whose token is due was answered {%v}, and not renewed", got)
	return nil
}

func renewedSame(w *world) {
	first := w.launch(worker, running)
	a := first.due().renewed()
	spec := typed[*agentv1.TaskSpec](first, getTaskSpec, &agentv1.GetTaskSpecRequest{})
	if again := typed[*agentv1.TaskSpec](a, getTaskSpec, &agentv1.GetTaskSpecRequest{}); !proto.Equal(spec, again) {
		w.t.Fatalf("with the renewed token the specification is {%v}, not {%v}", again, spec)
	}
	reply, err := w.call(register, a.as(), &agentv1.RegisterRequest{})
	w.wantCode(err, codes.OK, "Register with the renewed token")
	exercises[register].shows(first, 1, reply)
	fresh, _ := lifeOf(first.token)
	life, end := lifeOf(a.token)
	if fresh <= 0 || life <= 0 {
		w.t.Untestable("the tokens do not tell how long they live")
	}
	const leeway = 30 * time.Second
	if life > fresh+leeway || time.Until(end) > fresh+leeway {
		w.t.Fatalf("the renewed token lives for %v, until %v; a fresh one for %v", life, end, fresh)
	}
}

// lifeOf is how long a token lives, and until when; 0: it does not tell.
func lifeOf(token string) (time.Duration, time.Time) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, time.Time{}
	}
	var claims struct {
		Issued  int64 `json:"iat"`
		Expires int64 `json:"exp"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return 0, time.Time{}
	}
	return time.Duration(claims.Expires-claims.Issued) * time.Second, time.Unix(claims.Expires, 0)
}
