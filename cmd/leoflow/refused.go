package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// refusal is what a status says beside its code and its message.
type refusal struct {
	*status.Status
	reason    string
	fields    []string // "name: what is wrong", those that the message does not tell
	requestID string   // empty: no server answered
}

// inWords makes one line of an error of a call: the code, the message, the fields at
// fault, what helps, and the id to look for in the server's log. An invalid argument
// is bad input. Any other error is returned as it is.
func (r *remote) inWords(err error, subject string) error {
	var call interface{ GRPCStatus() *status.Status }
	if err == nil || !errors.As(err, &call) {
		return err
	}
	told := errors.New(r.line(readRefusal(call.GRPCStatus()), subject))
	if call.GRPCStatus().Code() == codes.InvalidArgument {
		return badInput{told}
	}
	return told
}

func (r *remote) line(f refusal, subject string) string {
	word := terminal.CodeWord(f.Code())
	parts := []string{r.message(f, word, subject)}
	parts = append(parts, f.fields...)
	if remedy := f.remedy(); remedy != "" {
		parts = append(parts, remedy)
	}
	line := word + ": " + strings.Join(parts, "; ")
	if f.requestID != "" {
		line += " (request " + f.requestID + ")"
	}
	return strings.ReplaceAll(line, "\n", " ")
}

// message is the server's own, or says more where that would only repeat the code.
func (r *remote) message(f refusal, word, subject string) string {
	switch {
	case f.Code() == codes.Unavailable && f.requestID == "":
		return fmt.Sprintf("no control plane at %s answers in %s: %s; check --server, that it serves, and whether it wants --ca",
			r.addr, r.channel(), reach(f.Message()))
	case f.Code() == codes.Unavailable:
		return r.addr + ": " + f.Message()
	case f.Code() == codes.DeadlineExceeded:
		return fmt.Sprintf("%s did not answer within %v", r.addr, callTimeout)
	case f.Code() == codes.Unauthenticated:
		return r.addr + " does not take the token"
	case f.Code() == codes.NotFound:
		return subject + ", in the tenant of the token"
	case f.Message() == word, f.Message() == "":
		return subject
	}
	return f.Message()
}

// channel is how the control plane is called.
func (r *remote) channel() string {
	if r.plaintext {
		return "plaintext"
	}
	return "TLS"
}

// unreached is what the library says before what went wrong with a connection.
var unreached = regexp.MustCompile(`^connection error: desc = "(?:transport: )?(?:Error while dialing: )?(.*)"$`)

// reach is why a server was not reached, without the library's own words.
func reach(message string) string {
	if m := unreached.FindStringSubmatch(message); m != nil {
		return strings.ReplaceAll(m[1], `\"`, `"`)
	}
	return message
}

func readRefusal(s *status.Status) refusal {
	f := refusal{Status: s}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			f.reason = d.GetReason()
		case *errdetails.RequestInfo:
			f.requestID = d.GetRequestId()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				if told := v.GetField() + ": " + v.GetDescription(); !strings.Contains(s.Message(), told) {
					f.fields = append(f.fields, told)
				}
			}
		}
	}
	return f
}

// remedy says what helps; empty: the message is all there is.
func (f refusal) remedy() string {
	switch {
	case f.reason == rpcstatus.ReasonChannel:
		return "start the server with --tls-cert and --tls-key, and call it with --ca"
	case f.reason == rpcstatus.ReasonRole:
		return "mint such a token with leoflow token --role"
	case f.Code() == codes.Unauthenticated:
		return howToGetAToken
	}
	return ""
}
