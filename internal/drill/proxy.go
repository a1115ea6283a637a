package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// maxFrame is the largest message that passes, in bytes: larger than any that a server
// takes, so that it is the server that refuses.
const maxFrame = 64 << 20

// Tap is shown what passes through a proxy. It is used from many goroutines.
type Tap interface {
	// Call begins a call; nil: nobody looks at it. The token is empty where the call
	// has none.
	Call(method, token string) CallTap
}

// CallTap is shown one call. A request is shown before the server gets it, a reply
// before the client gets it, so nothing that either acts on is missed. Requests and
// replies come from two goroutines, End after all replies. The bytes are only lent.
type CallTap interface {
	Request(message []byte)
	Reply(message []byte)
	// End is how the server ended the call; nil: with OK.
	End(err error)
}

// Proxy passes gRPC calls of any service on to servers, byte for byte, in plaintext: each
// call to another than the last one, of those that are up. While all are down, calls fail
// at once with UNAVAILABLE.
type Proxy struct {
	listener net.Listener
	server   *grpc.Server
	conn     *grpc.ClientConn
	tap      Tap
	done     chan struct{}
	requests sync.WaitGroup // calls whose requests are passed on
}

// StartProxy listens on a free port of the loopback address, and serves until Close.
func StartProxy(tap Tap, targets ...string) (*Proxy, error) {
	servers := manual.NewBuilderWithScheme("drill")
	state := resolver.State{}
	for _, target := range targets {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: target})
	}
	servers.InitialState(state)
	conn, err := grpc.NewClient(servers.Scheme()+":///servers",
		grpc.WithResolvers(servers),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}),
			grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		// A server that is back is found at once.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("the proxy cannot call %q: %w", targets, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the proxy cannot listen: %w", err), conn.Close())
	}
	p := &Proxy{listener: listener, conn: conn, tap: tap, done: make(chan struct{})}
	p.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.UnknownServiceHandler(p.pass),
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // ends by Close alone
	}()
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends every call that is under way; the tap is shown nothing after it.
func (p *Proxy) Close() error {
	p.server.Stop()
	<-p.done
	p.requests.Wait()
	return p.conn.Close()
}

// pass passes one call on, and ends as the server ended it.
func (p *Proxy) pass(_ any, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	md, _ := metadata.FromIncomingContext(in.Context())
	tap := p.open(method, md)
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(in.Context(), onward(md)))
	defer cancel()
	out, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		p.requests.Go(func() {
			if forward(in, out, tap) != nil {
				cancel()
			}
		})
		err = backward(in, out, tap)
		in.SetTrailer(out.Trailer())
	}
	tap.End(err)
	return err
}

func (p *Proxy) open(method string, md metadata.MD) CallTap {
	token := ""
	if values := md.Get("authorization"); len(values) > 0 {
		token = strings.TrimPrefix(values[0], "Bearer ")
	}
	if tap := p.tap.Call(method, token); tap != nil {
		return tap
	}
	return blind{}
}

// onward is the metadata for the server: all but what names the connection.
func onward(md metadata.MD) metadata.MD {
	md = md.Copy()
	for key := range md {
		if strings.HasPrefix(key, ":") {
			delete(md, key)
		}
	}
	return md
}

// forward passes requests on, and the half-close after them. An error ends the call.
func forward(in grpc.ServerStream, out grpc.ClientStream, tap CallTap) error {
	for {
		var message frame
		err := in.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return out.CloseSend()
		}
		if err != nil {
			return err
		}
		tap.Request(message)
		if err := out.SendMsg(&message); err != nil {
			if errors.Is(err, io.EOF) { // how the call ended is on the other side
				return nil
			}
			return err
		}
	}
}

// backward passes the header and replies on; it returns how the server ended the call.
func backward(in grpc.ServerStream, out grpc.ClientStream, tap CallTap) error {
	if header, err := out.Header(); err == nil && header != nil {
		if err := in.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var message frame
		err := out.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		tap.Reply(message)
		if err := in.SendMsg(&message); err != nil {
			return err
		}
	}
}

type blind struct{}

func (blind) Request([]byte) {}
func (blind) Reply([]byte)   {}
func (blind) End(error)      {}

// frame is a message as it travels.
type frame []byte

// rawCodec leaves messages as they are. It has the name of the codec that made them.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("a %T is no frame", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*f)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("a %T is no frame", v)
	}
	*f = data.Materialize()
	return nil
}
