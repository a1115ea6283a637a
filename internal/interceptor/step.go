package interceptor

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// step is one concern of the chain. Each function may be nil.
type step struct {
	// enter runs before what is further in, and may refuse the call.
	enter func(*pass) error
	// message runs for each message from the client, and may refuse it; sending before each
	// that goes to a client on a stream, and sent after it.
	message func(*pass, any) error
	sending func(*pass)
	sent    func(*pass)
	// leave runs after what is further in, with its error, once enter has let the call
	// through, and returns what becomes of the error.
	leave func(*pass, error) error
	// rescue turns a panic further in into the error that leave is given. Without it the
	// panic goes on outwards, past leave.
	rescue func(*pass, any) error
	// governed confines the step to methods that are under a policy.
	governed bool
}

// pass is one call's way through the steps, in a loop rather than by one interceptor in
// another: a call is a goroutine of its own, and the stack of it grows by copying. It is the
// call's context as well, so that all that the chain makes of a call is one object.
type pass struct {
	domain.Tenanted
	method  *method
	steps   []step
	entered int
	named   int // the place of the step that gave the call its name; past all of them: none did
	began   time.Time
	unary   bool
	told    atomic.Bool // the header says the request id
	call    Call
}

// Value implements [context.Context].
func (p *pass) Value(key any) any {
	if _, ours := key.(callKey); ours && p.call.Method != "" {
		return &p.call
	}
	return p.Tenanted.Value(key)
}

// current is the call for the step that is entered or left; nil outside of what names it.
func (p *pass) current() *Call {
	if p.entered < p.named {
		return nil
	}
	return &p.call
}

func (p *pass) took() time.Duration { return time.Since(p.began) }

// enter goes through the steps from the outside in. Each sees the one message of a unary
// call as soon as it is entered.
func (p *pass) enter(request any) error {
	for i := range p.steps {
		s := &p.steps[i]
		if s.enter != nil {
			if err := s.enter(p); err != nil {
				return err
			}
		}
		p.entered++
		if p.unary && s.message != nil {
			if err := s.message(p, request); err != nil {
				return err
			}
		}
	}
	return nil
}

// taken shows the steps a message of a stream.
func (p *pass) taken(message any) error {
	for i := range p.steps {
		if look := p.steps[i].message; look != nil {
			if err := look(p, message); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave goes back through the steps that were entered, with a panic or an error of what is
// further in, and returns the call's error. A panic that no step took goes on.
func (p *pass) leave(panicked any, err error) error {
	panicked, err = p.back(panicked, err)
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// back is leave, but for a panic that is left over: it is returned. What panics on the way is
// a panic further in to the steps outside of it, which see its stack.
func (p *pass) back(panicked any, err error) (left any, out error) {
	defer func() {
		if again := recover(); again != nil {
			left, out = p.back(again, nil)
		}
	}()
	for p.entered > 0 {
		p.entered--
		s := &p.steps[p.entered]
		if panicked != nil && s.rescue == nil {
			continue
		}
		if panicked != nil {
			err = s.rescue(p, panicked)
			panicked = nil
		}
		if s.leave != nil {
			err = s.leave(p, err)
		}
	}
	return panicked, err
}

// passage has calls pass through steps.
type passage struct {
	all, exempt []step // exempt: those for methods without a policy
	methods     *methods
}

func newPassage(steps []step, methods *methods) *passage {
	p := &passage{all: steps, methods: methods}
	for _, s := range steps {
		if !s.governed {
			p.exempt = append(p.exempt, s)
		}
	}
	return p
}

func (c *passage) begin(ctx context.Context, full string, k kind) *pass {
	m, steps := c.methods.of(full, k), c.all
	if m.exempt {
		steps = c.exempt
	}
	return &pass{
		Tenanted: domain.Tenanted{Context: ctx}, method: m, steps: steps, named: len(steps) + 1,
		began: time.Now(), unary: k == kindUnary,
	}
}

// unary is the steps as an interceptor.
func (c *passage) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	p := c.begin(ctx, info.FullMethod, kindUnary)
	defer func() {
		if err = p.leave(recover(), err); err != nil {
			resp = nil
		}
	}()
	if err = p.enter(req); err != nil {
		return nil, err
	}
	return handler(p, req)
}

// stream is the steps as an interceptor for streams.
func (c *passage) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if srv == nil { // nobody serves the method: it is the transport that refuses it
		return handler(srv, stream)
	}
	p := c.begin(stream.Context(), info.FullMethod, kindOf(info.IsClientStream, info.IsServerStream))
	defer func() { err = p.leave(recover(), err) }()
	passing := &passingStream{ServerStream: stream, pass: p}
	if err := passing.enterAside(); err != nil {
		return err
	}
	return handler(srv, passing)
}

// enterAside is enter for a stream, in a goroutine of its own: the steps take a deep stack,
// for one to verify a token, and the stack of the stream's goroutine, once it has grown, stays
// so for as long as the stream is open.
func (s *passingStream) enterAside() (err error) {
	var left any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if panicked := recover(); panicked != nil { // here its stack is seen
				left, err = s.pass.back(panicked, nil)
			}
		}()
		err = s.pass.enter(nil)
	}()
	<-done
	if left != nil {
		panic(left)
	}
	return err
}

// passingStream carries the context of the steps, and shows them each message.
type passingStream struct {
	grpc.ServerStream
	pass *pass
}

func (s *passingStream) Context() context.Context { return s.pass }

func (s *passingStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		// The generated code of a server stream returns it as it is.
		return rpcstatus.Transport(err)
	}
	return s.pass.taken(m)
}

func (s *passingStream) SendMsg(m any) error {
	for i := range s.pass.steps {
		if sending := s.pass.steps[i].sending; sending != nil {
			sending(s.pass)
		}
	}
	if err := s.ServerStream.SendMsg(m); err != nil {
		return err
	}
	for i := range s.pass.steps {
		if sent := s.pass.steps[i].sent; sent != nil {
			sent(s.pass)
		}
	}
	return nil
}
