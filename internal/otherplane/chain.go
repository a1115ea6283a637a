package otherplane

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

type callerKey struct{}

// caller is who calls: what their token said, and nothing else.
func caller(ctx context.Context) *grant {
	g, _ := ctx.Value(callerKey{}).(*grant)
	return g
}

// admit finds out who calls.
func (s *service) admit(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	credentials := md.Get("authorization")
	if len(credentials) != 1 {
		return nil, errWho
	}
	scheme, token, _ := strings.Cut(credentials[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return nil, errWho
	}
	g, err := s.plane.tokens.verify(token)
	if err != nil || !g.complete() {
		return nil, errWho
	}
	return context.WithValue(ctx, callerKey{}, g), nil
}

func (g *grant) complete() bool {
	return g.id.tenant != "" && g.id.dag != "" && g.id.run != "" && g.id.task != "" && g.id.instance != "" && g.id.try >= 1
}

// unary goes around every call that is no stream.
func (s *service) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (reply any, err error) {
	defer func() {
		if recover() != nil {
			reply, err = nil, s.told(ctx, refuse(codes.Internal, "fault", "Something is wrong on this side."))
		}
	}()
	known, err := s.admit(ctx)
	if err == nil {
		err = validate(request)
	}
	if err == nil {
		err = s.rate.take(known, caller(known).id, info.FullMethod)
	}
	if err == nil {
		s.panics()
		reply, err = next(known, request)
	}
	if err != nil {
		return nil, s.told(ctx, err)
	}
	if s.plane.choices.AnyCallBeats {
		s.alive(known)
	}
	if m, ok := reply.(proto.Message); ok {
		s.fromTheFuture(m)
	}
	return reply, nil
}

// alive takes a call for a sign of life, if the store is well.
func (s *service) alive(ctx context.Context) {
	if is, _ := s.plane.store.gate.look(); is != well {
		return
	}
	_ = s.do(ctx, func(st *store) error { // a sign that is missed does no harm
		if a := st.attempt(caller(ctx).id); a.notLive() == 0 {
			a.beat = s.plane.clock.now()
		}
		return nil
	})
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }

// streamed goes around every stream.
func (s *service) streamed(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if recover() != nil {
			err = s.told(stream.Context(), refuse(codes.Internal, "fault", "Something is wrong on this side."))
		}
	}()
	known, err := s.admit(stream.Context())
	if err == nil {
		s.panics()
		err = next(server, admitted{stream, known})
	}
	return s.told(stream.Context(), err)
}

// panics is the fault of that name.
func (s *service) panics() {
	if s.plane.panics.Load() {
		panic("asked for")
	}
}

var replies atomic.Int64

// fromTheFuture adds to a reply what no client knows yet, each time something else.
func (s *service) fromTheFuture(m proto.Message) {
	extra := protowire.AppendTag(nil, 18000, protowire.BytesType)
	extra = protowire.AppendString(extra, "reply "+strconv.FormatInt(replies.Add(1), 10))
	m.ProtoReflect().SetUnknown(extra)
}
