package otherplane

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/grpc/codes"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// PushXCom stores a value as the caller's own.
func (s *service) PushXCom(ctx context.Context, req *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	id := caller(ctx).id
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	life := s.plane.choices.ValueLife
	reply := &agentv1.PushXComResponse{Accepted: true, TtlSeconds: int32(life / time.Second)} //nolint:gosec // a few days
	err := s.do(ctx, func(st *store) error {
		a := st.attempt(id)
		switch why := a.notLive(); why {
		case agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED, agentv1.TerminationReason_TERMINATION_REASON_CANCELLED:
		case agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN:
			return refuse(codes.NotFound, "nobody", "Nobody knows %q (%s).", id.task, id.instance)
		default:
			return ended(id, why)
		}
		reason, err := s.rejection(a, req)
		if err != nil {
			return err
		}
		if reason != "" {
			reply = &agentv1.PushXComResponse{RejectionReason: reason}
			return nil
		}
		now := s.plane.clock.now()
		a.values[named(req.GetKey())] = &value{bytes: bytes.Clone(req.GetValue()), kind: req.GetContentType(), created: now, until: now.Add(life)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// rejection is why a value is not taken; empty: it is.
func (s *service) rejection(a *attempt, req *agentv1.PushXComRequest) (string, error) {
	if len(req.GetValue()) > s.plane.choices.ValueMax {
		return "payload_too_large", nil
	}
	text := a.task.wanted.GetReturnSchemaJson()
	if text == "" || named(req.GetKey()) != "return_value" || !s.plane.choices.Schema {
		return "", nil
	}
	schema, err := compiled(text)
	if err != nil {
		return "", err
	}
	pushed, err := jsonschema.UnmarshalJSON(bytes.NewReader(req.GetValue()))
	switch {
	case err != nil && !isJSON(req.GetContentType()):
		return "", nil
	case err != nil, schema.Validate(pushed) != nil:
		return "schema_mismatch", nil
	}
	return "", nil
}

func isJSON(kind string) bool {
	media, _, err := mime.ParseMediaType(kind)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func compiled(text string) (*jsonschema.Schema, error) {
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("task.json", parsed); err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	schema, err := c.Compile("task.json")
	if err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	return schema, nil
}
