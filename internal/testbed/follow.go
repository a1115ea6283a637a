package testbed

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

const (
	// stallFor is how long a follower takes nothing: a minute was promised.
	stallFor = 2 * time.Minute
	// followerKey is the metadata by which a follower is known when it comes.
	followerKey = "leoflow-testbed-follower"
)

// dial connects to the server as a client on this machine does.
func (b *Bed) dial() (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if b.cfg.TLS != nil {
		creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // it is this process that answers
	}
	soon := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}}
	return grpc.NewClient(b.cfg.Addr, grpc.WithTransportCredentials(creds), grpc.WithConnectParams(soon))
}

// watch begins to follow an attempt's log over the wire, as somebody who may only read.
func (b *Bed) watch(ctx context.Context, conn *grpc.ClientConn, ref *conformancev1.AttemptRef) (grpc.ServerStreamingClient[controlv1.ReadLogResponse], error) {
	token, _, err := b.serverOf().Tokens().MintOperator(
		auth.OperatorIdentity{Subject: string(actor), TenantID: ref.GetTenantId(), Role: auth.RoleViewer}, tokenLife)
	if err != nil {
		return nil, err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	return controlv1.NewControlServiceClient(conn).ReadLog(ctx, &controlv1.ReadLogRequest{
		DagId: ref.GetDagId(), RunId: ref.GetRunId(), TaskId: ref.GetTaskId(), TryNumber: ref.GetTryNumber(), Follow: true,
	}, grpc.WaitForReady(true))
}

// AwaitLine implements FixtureService. It follows on where the server restarts.
func (b *Bed) AwaitLine(ctx context.Context, req *conformancev1.AwaitLineRequest) (*conformancev1.AwaitLineResponse, error) {
	conn, err := b.dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing more is asked of it
	for {
		err := b.awaitLine(ctx, conn, req)
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return &conformancev1.AwaitLineResponse{}, err
		}
	}
}

func (b *Bed) awaitLine(ctx context.Context, conn *grpc.ClientConn, req *conformancev1.AwaitLineRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.watch(ctx, conn, req.GetAttempt())
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil { // io.EOF: the log has ended without it
			return fmt.Errorf("the line has not come: %w", err)
		}
		for _, record := range resp.GetRecords() {
			if record.GetMessage() == req.GetMessage() && record.GetMark() == controlv1.LogMark_LOG_MARK_UNSPECIFIED {
				return nil
			}
		}
	}
}

// followers are those who follow a log and take nothing.
type followers struct {
	mu      sync.Mutex
	coming  map[string]chan struct{} // closed when the follower has come
	leaving []context.CancelFunc
	gone    sync.WaitGroup
}

// StallFollower implements FixtureService.
func (b *Bed) StallFollower(ctx context.Context, req *conformancev1.StallFollowerRequest) (*conformancev1.StallFollowerResponse, error) {
	ref := req.GetAttempt()
	if _, err := b.serverOf().Store().Attempt(domain.WithTenant(ctx, ref.GetTenantId()), taskKey(ref), int(ref.GetTryNumber())); err != nil {
		return nil, notFound(err)
	}
	conn, err := b.dial() // its own, or its window would be another follower's too
	if err != nil {
		return nil, err
	}
	stalling, leave := context.WithTimeout(context.WithoutCancel(ctx), stallFor)
	id, came := b.followers.add(leave)
	b.followers.gone.Go(func() {
		<-stalling.Done()
		_ = conn.Close() // nothing more is asked of it
	})
	if _, err := b.watch(metadata.AppendToOutgoingContext(stalling, followerKey, id), conn, ref); err != nil {
		leave()
		return nil, err
	}
	select {
	case <-came:
		return &conformancev1.StallFollowerResponse{}, nil
	case <-ctx.Done():
		leave()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// add tells the name by which a follower will be known, and when it has come.
func (f *followers) add(leave context.CancelFunc) (id string, came <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.coming == nil {
		f.coming = map[string]chan struct{}{}
	}
	id = randomID()
	coming := make(chan struct{})
	f.coming[id] = coming
	f.leaving = append(f.leaving, leave)
	return id, coming
}

// arrive takes notice of a call that is a follower's.
func (f *followers) arrive(ctx context.Context) {
	for _, id := range metadata.ValueFromIncomingContext(ctx, followerKey) {
		f.mu.Lock()
		if came, ok := f.coming[id]; ok {
			delete(f.coming, id)
			close(came)
		}
		f.mu.Unlock()
	}
}

// end has all of them leave.
func (f *followers) end() {
	f.mu.Lock()
	leaving := f.leaving
	f.leaving = nil
	f.mu.Unlock()
	for _, leave := range leaving {
		leave()
	}
}
