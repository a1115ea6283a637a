package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// maxReply bounds what fixtures answer, such as a whole log.
const maxReply = 256 << 20

// Supervisor is a [Bed] in a process of its own, which it can kill (FAULT_RESTART) and
// tell to end (FAULT_SHUTDOWN), and starts again then with all that was set. It serves
// FixtureService itself, and passes on what is not for it. Its program calls
// [MaybeChild] first of all. [NewSupervisor] makes one, and Serve runs it, once.
type Supervisor struct {
	order    order
	says     io.Writer // what children do
	listener net.Listener
	grpc     *grpc.Server
	failed   chan error

	change sync.Mutex // held by whoever changes what is set, order.Settings

	serving sync.RWMutex // held for writing while no child serves
	child   *child
}

// NewSupervisor starts the server's process, and opens the listener for fixtures. An
// address that others reach is refused. The process logs to cfg.Stderr, from the level on
// that cfg.Logger has.
func NewSupervisor(ctx context.Context, cfg Config) (_ *Supervisor, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	s := &Supervisor{
		order: order{Addr: cfg.Addr, DataDir: cfg.DataDir, Database: cfg.Database, Level: levelOf(ctx, cfg.Logger), Settings: settings{}.copy()},
		says:  cfg.Stderr, failed: make(chan error, 1),
	}
	if s.order.Cert, s.order.Key, err = certificatePEM(cfg.TLS); err != nil {
		return nil, err
	}
	if s.listener, err = listen(ctx, cfg.FixturesAddr); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	s.order.Addr, s.order.Again = s.child.Addr, true
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.handle), grpc.WaitForHandlers(true))
	conformancev1.RegisterFixtureServiceServer(s.grpc, conformancev1.UnimplementedFixtureServiceServer{})
	return s, nil
}

// levelOf is the least level that a logger logs.
func levelOf(ctx context.Context, l *slog.Logger) slog.Level {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if l.Enabled(ctx, level) {
			return level
		}
	}
	return slog.LevelError
}

// Addr is where the server listens.
func (s *Supervisor) Addr() string { return s.order.Addr }

// FixturesAddr is where FixtureService listens.
func (s *Supervisor) FixturesAddr() string { return s.listener.Addr().String() }

// start starts a child; what it ends with unless it was told to is for Serve.
func (s *Supervisor) start(ctx context.Context) error {
	o := s.order
	o.Settings = o.Settings.copy()
	c, err := startChild(ctx, o, s.says)
	if err != nil {
		return err
	}
	s.child = c
	go func() {
		<-c.ended
		if !c.told.Load() {
			s.fail(fmt.Errorf("the server's process ended by itself: %w", errors.Join(c.err, errors.New(c.cmd.ProcessState.String()))))
		}
	}()
	return nil
}

func (s *Supervisor) fail(err error) {
	select {
	case s.failed <- err:
	default: // for another reason already
	}
}

// Serve serves until ctx ends, or the server's process does by itself.
func (s *Supervisor) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- serveFixtures(s.grpc, s.listener) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	case err = <-served:
		served <- nil
	}
	s.grpc.Stop() // waits for who starts a child
	if err = errors.Join(err, <-served); err != nil {
		_ = s.child.kill() // it may have ended
		return err
	}
	return s.child.stop()
}

// again ends the child, and starts another in its place. It is called with change locked.
func (s *Supervisor) again(ctx context.Context, end func(*child) error) error {
	s.serving.Lock()
	defer s.serving.Unlock()
	err := end(s.child)
	if err == nil {
		err = s.start(context.WithoutCancel(ctx)) // a server that is gone would be worse
	}
	if err != nil {
		err = fmt.Errorf("the server does not restart: %w", err)
		s.fail(err)
	}
	return err
}

// handle is every method of FixtureService.
func (s *Supervisor) handle(ctx context.Context, req any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	request, ok := req.(proto.Message)
	if !ok {
		return nil, status.Error(codes.Internal, "the request is no message")
	}
	switch r := request.(type) {
	case *conformancev1.GetCapabilitiesRequest:
		reply, err := s.pass(ctx, info.FullMethod, request)
		if got, ok := reply.(*conformancev1.GetCapabilitiesResponse); ok && err == nil {
			got.Faults = append(got.Faults, restarts)
		}
		return reply, err
	case *conformancev1.AwaitLineRequest: // follows on where the server restarts
		for {
			before := s.present()
			reply, err := s.passTo(ctx, before, info.FullMethod, request)
			if status.Code(err) != codes.Unavailable || ctx.Err() != nil || s.present() == before {
				return reply, err
			}
		}
	case *conformancev1.SetFaultRequest:
		return s.setFault(ctx, info.FullMethod, r)
	case *conformancev1.AdvanceClockRequest:
		return s.remember(ctx, info.FullMethod, request, func(set *settings) { set.Ahead = r.GetAhead().AsDuration() })
	case *conformancev1.SetSilenceRequest:
		return s.remember(ctx, info.FullMethod, request, func(set *settings) { set.Silence = r.GetLostAfter().AsDuration() })
	}
	return s.pass(ctx, info.FullMethod, request)
}

func (s *Supervisor) setFault(ctx context.Context, method string, req *conformancev1.SetFaultRequest) (any, error) {
	var end func(*child) error
	switch req.GetFault() {
	case restarts:
		end = (*child).kill
	case shutsDown:
		end = (*child).stop
	default:
		return s.remember(ctx, method, req, func(set *settings) { set.Faults[req.GetFault()] = req.GetActive() })
	}
	if !req.GetActive() { // it ended by itself
		return &conformancev1.SetFaultResponse{}, nil
	}
	s.change.Lock()
	defer s.change.Unlock()
	return &conformancev1.SetFaultResponse{}, s.again(ctx, end)
}

// remember passes on what sets something, for the children that follow to know it, too.
func (s *Supervisor) remember(ctx context.Context, method string, req proto.Message, set func(*settings)) (any, error) {
	s.change.Lock()
	defer s.change.Unlock()
	reply, err := s.pass(ctx, method, req)
	if err == nil {
		set(&s.order.Settings)
	}
	return reply, err
}

// present is the child that serves; where none does, the next one.
func (s *Supervisor) present() *child {
	s.serving.RLock()
	defer s.serving.RUnlock()
	return s.child
}

func (s *Supervisor) pass(ctx context.Context, method string, req proto.Message) (proto.Message, error) {
	return s.passTo(ctx, s.present(), method, req)
}

// passTo makes a call at a child's fixtures.
func (s *Supervisor) passTo(ctx context.Context, c *child, method string, req proto.Message) (proto.Message, error) {
	reply, err := replyOf(method)
	if err != nil {
		return nil, err
	}
	return reply, c.conn.Invoke(ctx, method, req, reply)
}

// replyOf is an empty reply of a method of FixtureService.
func replyOf(method string) (proto.Message, error) {
	service := conformancev1.File_leoflow_conformance_v1_fixture_proto.Services().ByName("FixtureService")
	name := protoreflect.Name(method[len("/"+service.FullName()+"/"):])
	found, err := protoregistry.GlobalTypes.FindMessageByName(service.Methods().ByName(name).Output().FullName())
	if err != nil {
		return nil, err
	}
	return found.New().Interface(), nil
}
