package otherplane

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// validate refuses a request that the protos do not allow, and names every field at fault.
func validate(request any) error {
	bad := &errdetails.BadRequest{}
	wrong := func(field, what string) {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: field, Description: what, Reason: "WRONG"})
	}
	name := func(field, text string) {
		switch {
		case utf8.RuneCountInString(text) > 250:
			wrong(field, "Make it shorter, 250 characters at most.")
		case hasControl(text):
			wrong(field, "Leave out the control characters.")
		}
	}
	switch request := request.(type) {
	case *agentv1.FetchXComRequest:
		if request.GetUpstreamTaskId() == "" {
			wrong("upstream_task_id", "Say which task.")
		}
		name("upstream_task_id", request.GetUpstreamTaskId())
		name("key", request.GetKey())
	case *agentv1.PushXComRequest:
		name("key", request.GetKey())
	case *agentv1.ReportStateRequest:
		if _, known := outcomes[request.GetState()]; !known && request.GetState() != agentv1.TaskState_TASK_STATE_RUNNING {
			wrong("state", fmt.Sprintf("%d is nothing that an agent can report.", request.GetState()))
		}
	}
	if len(bad.FieldViolations) == 0 {
		return nil
	}
	return refuse(codes.InvalidArgument, "look-again", "That cannot be right: %d of the fields are wrong.", len(bad.FieldViolations)).with(bad)
}

func hasControl(text string) bool {
	for _, r := range text {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}
