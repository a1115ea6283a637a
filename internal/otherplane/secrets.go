package otherplane

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// deliver returns the secrets that the caller's task gets, and leaves a record of it.
func (s *service) deliver(ctx context.Context, all func(*tenant) map[string]string, declared func(*conformancev1.FixtureTask) []string) (map[string]string, error) {
	id := caller(ctx).id
	if !s.plane.choices.Secrets || s.plane.noSecrets.Load() {
		return nil, refuse(codes.Unavailable, "no-vault", "This plane keeps no secrets.")
	}
	if !s.plane.choices.PlaintextSecrets && !confidential(ctx) {
		return nil, refuse(codes.PermissionDenied, "overheard", "Somebody might be listening.")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out := map[string]string{}
	err := s.do(ctx, func(st *store) error {
		a := st.attempt(id)
		if why := a.notLive(); why != 0 {
			return refuse(codes.PermissionDenied, "no-longer", "Nothing is handed to try %d of %q (%s): %s.", id.try, id.task, id.instance, why)
		}
		t := st.tenants[id.tenant]
		for name, text := range all(t) {
			if !t.declared || slices.Contains(declared(a.task.wanted), name) {
				out[name] = text
			}
		}
		if len(out) == 0 {
			return nil
		}
		if s.plane.noAudit.Load() {
			return refuse(codes.Unavailable, "unrecorded", "Nobody could write down that you got it.")
		}
		t.deliveries = append(t.deliveries, &conformancev1.Delivery{Attempt: proto.CloneOf(a.ref()), Names: slices.Collect(maps.Keys(out))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// confidential reports whether nobody else can read a call's channel.
func confidential(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	_, isTLS := p.AuthInfo.(credentials.TLSInfo)
	return isTLS
}
