package serversuite

import (
	"encoding/base64"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// badTokens are the defects that AUTH-2 names, and incomplete those of AUTH-3.
var (
	badTokens = []conformancev1.TokenDefect{
		conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED, conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID,
		conformancev1.TokenDefect_TOKEN_DEFECT_NO_EXPIRY, conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY,
		conformancev1.TokenDefect_TOKEN_DEFECT_ALGORITHM_NONE, conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ALGORITHM,
		conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ISSUER, conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_AUDIENCE,
	}
	incomplete = []conformancev1.TokenDefect{
		conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK_INSTANCE, conformancev1.TokenDefect_TOKEN_DEFECT_NO_TENANT,
		conformancev1.TokenDefect_TOKEN_DEFECT_NO_DAG, conformancev1.TokenDefect_TOKEN_DEFECT_NO_RUN,
		conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK, conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY,
		conformancev1.TokenDefect_TOKEN_DEFECT_TRY_ZERO,
	}
)

// spoilt are credentials that are made of a good token without its key.
var spoilt = []struct {
	word string
	make func(token string) credential
}{
	{"empty", func(string) credential { return bearer("an empty token", "") }},
	{"no-token", func(string) credential { return bearer("what is no token", "let-me-in") }},
	{"no-scheme", func(token string) credential {
		return credential{"a token without its scheme", metadata.Pairs("authorization", token)}
	}},
	{"other-scheme", func(token string) credential {
		return credential{"a token under another scheme", metadata.Pairs("authorization", "Basic "+token)}
	}},
	{"cut", func(token string) credential { return bearer("a token that is cut", token[:len(token)-4]) }},
	{"unsigned", func(token string) credential {
		return bearer("a token without its signature", token[:strings.LastIndexByte(token, '.')+1])
	}},
	{"altered", func(token string) credential { return bearer("a token whose claims were altered", altered(token)) }},
}

// altered changes what a token says and keeps its signature. Of a token of another form
// it changes a character in the middle.
func altered(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		if claims, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			parts[1] = base64.RawURLEncoding.EncodeToString(append(claims[:len(claims)-1], `,"x":1}`...))
			return strings.Join(parts, ".")
		}
	}
	middle := len(token) / 2
	other := byte('A')
	if token[middle] == other {
		other = 'B'
	}
	return token[:middle] + string(other) + token[middle+1:]
}

// cell makes a check of one rule for one RPC.
func cell(rule, word string, rpc catalogue.RPC, name string, run func(*suite.T)) suite.Check {
	return suite.Check{
		ID: rule + "/" + word + "/" + rpc.Method(), Rule: rule, RPCs: []catalogue.RPC{rpc},
		Name: rpc.Method() + ": " + name, Parallel: true, Run: run,
	}
}

// refused is the check that a call with a credential is UNAUTHENTICATED and has no
// effect, while the same call of the attempt's own agent is taken.
func refused(target *Target, rpc catalogue.RPC, as func(*attempt) credential) func(*suite.T) {
	return func(t *suite.T) {
		w := newWorld(t, target)
		a := exercised(w, rpc)
		a.control(rpc, 1)
		a.wantUnauthenticated(rpc, as(a), exercises[rpc].request(w, 2))
		a.control(rpc, 2)
	}
}

// wantUnauthenticated fails the check unless a call is refused and changes nothing.
func (a *attempt) wantUnauthenticated(rpc catalogue.RPC, as credential, request proto.Message) {
	before := a.snapshot()
	reply, err := a.w.call(rpc, as, request)
	a.w.wantCode(err, codes.Unauthenticated, rpc.Method()+" with "+as.name)
	if reply != nil {
		a.w.t.Fatalf("%s with %s was refused, and answered {%v} all the same", rpc.Method(), as.name, reply)
	}
	a.wantUnchanged(before, "the refused "+rpc.Method())
}

func minted(defect conformancev1.TokenDefect) func(*attempt) credential {
	return func(a *attempt) credential {
		return bearer("a token that is "+word(defect), a.w.mint(a.ref, defect))
	}
}

func authChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range agentRPCs() {
		out = append(out, cell("AUTH-1", "none", rpc, "no credentials are refused",
			refused(target, rpc, func(*attempt) credential { return noCredential })))
		for _, s := range spoilt {
			out = append(out, cell("AUTH-2", s.word, rpc, "a credential that is "+s.word+" is refused",
				refused(target, rpc, func(a *attempt) credential { return s.make(a.token) })))
		}
		for _, defect := range badTokens {
			out = append(out, cell("AUTH-2", word(defect), rpc, "a token that is "+word(defect)+" is refused", refused(target, rpc, minted(defect))))
		}
		for _, defect := range incomplete {
			out = append(out, cell("AUTH-3", word(defect), rpc, "a token that has "+word(defect)+" is refused", refused(target, rpc, minted(defect))))
		}
		out = append(out,
			cell("AUTH-4", "alike", rpc, "no refusal tells what was wrong", refusedAlike(target, rpc)),
			cell("AUTH-5", "unknown", rpc, "of an attempt that is unknown, too", unauthenticatedFirst(target, rpc, func(a *attempt) proto.Message {
				return exercises[rpc].request(a.w, 2)
			})),
		)
		if invalid := exercises[rpc].invalid; invalid != nil {
			out = append(out, cell("AUTH-5", "invalid", rpc, "with a request that is invalid, too",
				unauthenticatedFirst(target, rpc, func(a *attempt) proto.Message {
					request, _ := invalid()
					if _, err := a.w.call(rpc, a.as(), request); status.Code(err) != codes.InvalidArgument {
						a.w.t.Untestable("the server takes what is invalid, and there is no other refusal to come first (ERR-3)")
					}
					return request
				})))
		}
	}
	return append(out, suite.Check{
		ID: "AUTH-1/silent/StreamLogs", Rule: "AUTH-1", RPCs: []catalogue.RPC{streamLogs}, Parallel: true,
		Name: "StreamLogs: refused before a message is taken",
		Run: func(t *suite.T) {
			w := newWorld(t, target)
			w.launch(worker, queued).control(streamLogs, 1)
			_, err := w.call(streamLogs, noCredential, nil)
			w.wantCode(err, codes.Unauthenticated, "StreamLogs without credentials, before any message,")
		},
	}, suite.Check{
		ID: "AUTH-6/headers/GetTaskSpec", Rule: "AUTH-6", RPCs: []catalogue.RPC{getTaskSpec, register, heartbeat}, Parallel: true,
		Name: "no header changes who calls", Run: func(t *suite.T) { identityOfTheToken(t, target) },
	})
}

// unauthenticatedFirst is the check that a call without credentials, and one with a bad
// token of nobody, is UNAUTHENTICATED whatever else is wrong with it.
func unauthenticatedFirst(target *Target, rpc catalogue.RPC, request func(*attempt) proto.Message) func(*suite.T) {
	return func(t *suite.T) {
		w := newWorld(t, target)
		a := exercised(w, rpc)
		a.control(rpc, 1)
		wrong := request(a)
		nobody := w.unknown()
		for _, as := range []credential{
			noCredential,
			bearer("an expired token of an unknown attempt", w.mint(nobody.ref, conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED)),
		} {
			a.wantUnauthenticated(rpc, as, wrong)
		}
		a.accepted(agentv1.TaskState_TASK_STATE_FAILED)
		a.wantUnauthenticated(rpc, bearer("an expired token of a settled attempt", w.mint(a.ref, conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED)), wrong)
	}
}

// refusedAlike is the check that every refusal is the same but for a correlation id.
func refusedAlike(target *Target, rpc catalogue.RPC) func(*suite.T) {
	return func(t *suite.T) {
		w := newWorld(t, target)
		a := exercised(w, rpc)
		a.control(rpc, 1)
		credentials := []credential{noCredential}
		for _, s := range spoilt {
			credentials = append(credentials, s.make(a.token))
		}
		for _, defect := range append(append([]conformancev1.TokenDefect{}, badTokens...), incomplete...) {
			token, err := w.tryMint(a.ref, defect)
			if status.Code(err) == codes.Unimplemented {
				t.Note("no token is %s: the others are compared", word(defect))
				continue
			}
			w.fixture("make a token that is "+word(defect), err)
			credentials = append(credentials, bearer("a token that is "+word(defect), token))
		}
		var first *status.Status
		refused := 0
		for _, as := range credentials {
			_, err := w.call(rpc, as, exercises[rpc].request(w, 2))
			if first != nil && status.Code(err) != codes.Unauthenticated {
				continue // AUTH-2 and AUTH-3 tell
			}
			w.wantCode(err, codes.Unauthenticated, rpc.Method()+" with "+as.name)
			refused++
			got := masked(err)
			if first == nil {
				first = got
			}
			if !proto.Equal(first.Proto(), got.Proto()) {
				t.Fatalf("%s with %s was refused in other words than with %s: {%v}, not {%v}", rpc.Method(), as.name, credentials[0].name, got.Proto(), first.Proto())
			}
		}
		if refused < 2 {
			t.Untestable("the server refuses too little to be told apart (AUTH-2)")
		}
	}
}

// identityOfTheToken tries to be somebody else by metadata.
func identityOfTheToken(t *suite.T, target *Target) {
	w := newWorld(t, target)
	other := w.otherRun()
	a, victim := w.launch(worker, running), other.launch(worker, running)
	as := a.as()
	for key, value := range map[string]string{
		"tenant": other.tenant, "tenant_id": other.tenant, "x-tenant-id": other.tenant, "dag_id": other.dag, "run_id": other.run, "x-run-id": other.run,
		"task_id": worker, "try_number": "1", "session_id": victim.ref.GetTaskInstanceId(), "x-session-id": victim.ref.GetTaskInstanceId(),
		"task_instance_id": victim.ref.GetTaskInstanceId(), "x-task-instance-id": victim.ref.GetTaskInstanceId(), "sub": victim.ref.GetTaskInstanceId(),
	} {
		as = as.with(key, value)
	}
	as.name = "the agent of worker, with headers that name another run"
	before := victim.snapshot()
	for _, rpc := range []catalogue.RPC{getTaskSpec, register, heartbeat} {
		reply, err := w.call(rpc, as, exercises[rpc].request(w, 1))
		w.wantCode(err, codes.OK, rpc.Method()+" with headers that mean nothing")
		exercises[rpc].shows(a, 1, reply)
	}
	victim.wantUnchanged(before, "a call with headers that name it")
}
