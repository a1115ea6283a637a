package interceptor

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// checkChannel refuses a method that needs a confidential channel on any other
// (SECRET-1). It comes after the request's validity and the service's presence:
// that order is part of the contract, so it is not a step of the chain.
func (g *Guard) checkChannel(ctx context.Context, call *Call) error {
	method, ok := g.policyOf(call)
	if ok && (!method.Confidential || g.AllowPlaintext || confidential(ctx)) {
		return nil
	}
	return rpcstatus.New(codes.PermissionDenied, rpcstatus.ReasonChannel,
		"only over a confidential channel: connect with TLS", nil)
}

// confidential reports whether nobody else can read the channel: TLS, or a local
// transport that says that it keeps privacy and integrity. What merely calls itself
// TLS does not count.
func confidential(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok || p.AuthInfo == nil {
		return false
	}
	if _, tls := p.AuthInfo.(credentials.TLSInfo); tls {
		return true
	}
	common, ok := p.AuthInfo.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	})
	return ok && p.AuthInfo.AuthType() == "local" &&
		common.GetCommonAuthInfo().SecurityLevel == credentials.PrivacyAndIntegrity
}
