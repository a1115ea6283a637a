package testbed

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

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
	ref, defect := req.GetAttempt(), req.GetDefect()
	if role, ok := roleOf[defect]; ok {
		token, _, err := b.server.Tokens().MintOperator(
			auth.OperatorIdentity{Subject: string(actor), TenantID: ref.GetTenantId(), Role: role}, tokenLife)
		return &conformancev1.MintTokenResponse{Token: token}, err
	}
	now := b.now()
	t := &draft{method: jwt.SigningMethodHS256, kid: b.keys[0].ID, secret: b.keys[0].Secret, claims: jwt.MapClaims{
		"iss": auth.Issuer, "aud": auth.AgentAudience, "sub": ref.GetTaskInstanceId(),
		"tenant_id": ref.GetTenantId(), "dag_id": ref.GetDagId(), "run_id": ref.GetRunId(), "task_id": ref.GetTaskId(),
		"try_number": ref.GetTryNumber(), "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	}}
	resp := &conformancev1.MintTokenResponse{}
	switch defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED:
	case conformancev1.TokenDefect_TOKEN_DEFECT_DUE:
		timeout := b.timeout(ctx, ref)
		t.lease(now, auth.FreshLife(timeout), now.Add(auth.Ceiling(timeout)))
	case conformancev1.TokenDefect_TOKEN_DEFECT_NEAR_CEILING:
		ceiling := now.Add(2 * tokenLife).Truncate(time.Second) // as a token tells it
		t.lease(now, auth.FreshLife(b.timeout(ctx, ref)), ceiling)
		resp.Ceiling = timestamppb.New(ceiling)
	case conformancev1.TokenDefect_TOKEN_DEFECT_FORMER_KEY:
		t.kid, t.secret = b.keys[1].ID, b.keys[1].Secret
	default:
		if err := t.spoil(defect, now); err != nil {
			return nil, err
		}
	}
	var err error
	resp.Token, err = t.sign()
	return resp, err
}

// draft is a token that is not signed yet.
type draft struct {
	claims jwt.MapClaims
	method jwt.SigningMethod
	kid    string
	secret any
}

// lease makes the token one that may be renewed up to the ceiling, for life, and more than
// half of whose life is over.
func (t *draft) lease(now time.Time, life time.Duration, ceiling time.Time) {
	t.claims["iat"] = now.Add(tokenLife - life).Unix()
	t.claims["leoflow_renew_until"], t.claims["leoflow_renew_seconds"] = ceiling.Unix(), int64(life/time.Second)
}

// spoil gives the token a defect for which it is refused.
func (t *draft) spoil(defect conformancev1.TokenDefect, now time.Time) error {
	switch defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED:
		t.claims["iat"], t.claims["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	case conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID:
		t.claims["nbf"], t.claims["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	case conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY:
		other := make([]byte, auth.MinKeyBytes)
		if _, err := rand.Read(other); err != nil {
			return err
		}
		t.secret = other
	case conformancev1.TokenDefect_TOKEN_DEFECT_ALGORITHM_NONE:
		t.method, t.secret = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ALGORITHM:
		t.method = jwt.SigningMethodHS512
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ISSUER:
		t.claims["iss"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_AUDIENCE:
		t.claims["aud"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_TRY_ZERO:
		t.claims["try_number"] = 0
	default:
		claim, known := claimOf[defect]
		if !known {
			return status.Errorf(codes.Unimplemented, "no token with the defect %s", defect)
		}
		delete(t.claims, claim)
	}
	return nil
}

func (t *draft) sign() (string, error) {
	token := jwt.NewWithClaims(t.method, t.claims)
	token.Header["kid"] = t.kid
	return token.SignedString(t.secret)
}

// timeout is that of an attempt's task; of an attempt that is unknown, none.
func (b *Bed) timeout(ctx context.Context, ref *conformancev1.AttemptRef) time.Duration {
	a, err := b.server.Store().Attempt(domain.WithTenant(ctx, ref.GetTenantId()), taskKey(ref), int(ref.GetTryNumber()))
	if err != nil {
		return 0
	}
	return a.Timeout
}
