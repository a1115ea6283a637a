package testbed

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// claimOf is the claim that a defect leaves out.
var claimOf = map[conformancev1.TokenDefect]string{
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_EXPIRY:        "exp",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK_INSTANCE: "sub",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TENANT:        "tenant_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_DAG:           "dag_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_RUN:           "run_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK:          "task_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY:           "try_number",
}

// roleOf is the role of an operator whose token is asked for instead of an agent's.
var roleOf = map[conformancev1.TokenDefect]auth.Role{
	conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR: auth.RoleAdmin,
	conformancev1.TokenDefect_TOKEN_DEFECT_VIEWER:   auth.RoleViewer,
}

// MintToken implements FixtureService.
func (b *Bed) MintToken(ctx context.Context, req *conformancev1.MintTokenRequest) (*conformancev1.MintTokenResponse, error) {
	ref, now := req.GetAttempt(), time.Now()
	if role, ok := roleOf[req.GetDefect()]; ok {
		token, _, err := b.server.Tokens().MintOperator(
			auth.OperatorIdentity{Subject: string(actor), TenantID: ref.GetTenantId(), Role: role}, tokenLife)
		return &conformancev1.MintTokenResponse{Token: token}, err
	}
	claims := jwt.MapClaims{
		"iss": auth.Issuer, "aud": auth.AgentAudience, "sub": ref.GetTaskInstanceId(),
		"tenant_id": ref.GetTenantId(), "dag_id": ref.GetDagId(), "run_id": ref.GetRunId(), "task_id": ref.GetTaskId(),
		"try_number": ref.GetTryNumber(), "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	}
	var method jwt.SigningMethod = jwt.SigningMethodHS256
	var secret any = b.keys[0].Secret
	switch defect := req.GetDefect(); defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED:
	case conformancev1.TokenDefect_TOKEN_DEFECT_DUE: // more than half of its life is over
		timeout := b.timeout(ctx, ref)
		life := auth.FreshLife(timeout)
		claims["iat"] = now.Add(tokenLife - life).Unix()
		claims["leoflow_renew_until"], claims["leoflow_renew_seconds"] = now.Add(auth.Ceiling(timeout)).Unix(), int64(life/time.Second)
	case conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED:
		claims["iat"], claims["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	case conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID:
		claims["nbf"], claims["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	case conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY:
		other := make([]byte, len(b.keys[0].Secret))
		if _, err := rand.Read(other); err != nil {
			return nil, err
		}
		secret = other
	case conformancev1.TokenDefect_TOKEN_DEFECT_ALGORITHM_NONE:
		method, secret = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ALGORITHM:
		method = jwt.SigningMethodHS512
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ISSUER:
		claims["iss"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_AUDIENCE:
		claims["aud"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_TRY_ZERO:
		claims["try_number"] = 0
	default:
		claim, known := claimOf[defect]
		if !known {
			return nil, status.Errorf(codes.Unimplemented, "no token with the defect %s", defect)
		}
		delete(claims, claim)
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = b.keys[0].ID
	signed, err := token.SignedString(secret)
	return &conformancev1.MintTokenResponse{Token: signed}, err
}

// timeout is that of an attempt's task; of an attempt that is unknown, none.
func (b *Bed) timeout(ctx context.Context, ref *conformancev1.AttemptRef) time.Duration {
	a, err := b.server.Store().Attempt(domain.WithTenant(ctx, ref.GetTenantId()), taskKey(ref), int(ref.GetTryNumber()))
	if err != nil {
		return 0
	}
	return a.Timeout
}
