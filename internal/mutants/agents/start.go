package agents

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/agent"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

func startMutants() []Mutant {
	return []Mutant{
		{
			Name: "beats-without-token", Fault: "its heartbeats carry no token", Kills: "A-START-1/every-rpc",
			Also: matrix.Because("it looks at the token of heartbeats, too", "A-BEAT-3/calls", "A-BEAT-3/stream"),
			unary: func(_ *relay, p *passing) error {
				if p.method == "Heartbeat" {
					p.ctx = withToken(p.ctx)
				}
				return p.send()
			},
		},
		{
			Name: "token-for-task", Fault: "it gives the token to the task", Kills: "A-START-1/kept",
			unary: specified(func(r *relay, spec *agentv1.TaskSpec) {
				spec.Environment = map[string]string{"API_TOKEN": r.token}
			}),
			Also: matrix.Because("a variable that nobody specified", "A-ENV-1/environment"),
		},
		{
			Name: "prints-token", Fault: "it prints the token as it starts", Kills: "A-START-1/kept",
			config: func(cfg *agent.Config) { fmt.Fprintln(os.Stderr, "starting with", cfg.Token) },
		},
		{
			Name: "token-in-file", Fault: "it writes the token to a temporary file", Kills: "A-START-1/kept",
			config: func(cfg *agent.Config) {
				if f, err := os.CreateTemp("", "token-"); err == nil {
					_, _ = f.WriteString(cfg.Token)
					_ = f.Close()
				}
			},
		},
		{
			Name: "reads-first", Fault: "it reads the specification before it registers", Kills: "A-START-2/order",
			unary: func(r *relay, p *passing) error {
				switch p.method {
				case "Register":
					spec, err := r.up.GetTaskSpec(p.ctx, &agentv1.GetTaskSpecRequest{})
					r.set(func(s *state) { s.spec = func() (*agentv1.TaskSpec, error) { return spec, err } })
				case "GetTaskSpec":
					spec, err := r.spec()
					if err == nil {
						copySpec(p.out.(*agentv1.TaskSpec), spec)
					}
					return err
				}
				return p.send()
			},
			Also: matrix.Because("it counts the tries of GetTaskSpec", "A-NET-1/GetTaskSpec"),
		},
		{
			Name: "runs-unregistered", Fault: "it goes on when its registration is refused", Kills: "A-START-2/refused",
			Also: matrix.Because("the same refusal", "A-NET-2/FailedPrecondition/Register"),
			unary: func(_ *relay, p *passing) error {
				err := p.send()
				if p.method == "Register" && status.Code(err) == codes.FailedPrecondition {
					return nil
				}
				return err
			},
		},
		silentAbout("silent-about-operator", "operator", "A-START-3/operator"),
		silentAbout("silent-about-entrypoint", "no entrypoint", "A-START-3/entrypoint"),
	}
}

// silentAbout ends without a word on a specification that it cannot run.
func silentAbout(name, what, kills string) Mutant {
	return Mutant{
		Name: name, Fault: "it does not report that it cannot run a task: " + what, Kills: kills,
		unary: func(_ *relay, p *passing) error {
			if in, ok := p.in.(*agentv1.ReportStateRequest); ok && strings.Contains(in.GetErrorMessage(), what) {
				p.out.(*agentv1.ReportStateResponse).Acknowledged = true
				return nil
			}
			return p.send()
		},
	}
}

func channelMutants() []Mutant {
	return []Mutant{
		{
			Name: "trusts-anybody", Fault: "it checks no certificate", Kills: "A-START-4/authority", Also: matrix.Because("a certificate of another name is one that is not checked", "A-START-4/name"),
			channel: func(agent.Config) credentials.TransportCredentials {
				return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the fault
			},
		},
		{
			Name: "trusts-any-name", Fault: "it checks the certificate and not its name", Kills: "A-START-4/name",
			channel: func(cfg agent.Config) credentials.TransportCredentials {
				return credentials.NewTLS(&tls.Config{
					InsecureSkipVerify: true, //nolint:gosec // the fault
					VerifyConnection: func(state tls.ConnectionState) error {
						_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: cfg.RootCAs})
						return err
					},
				})
			},
		},
		{
			Name: "falls-back", Fault: "it speaks plaintext where the server knows no TLS", Kills: "A-START-4/plaintext",
			channel: func(cfg agent.Config) credentials.TransportCredentials {
				secure := credentials.NewTLS(&tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12})
				return fallBack{secure, &atomic.Bool{}}
			},
		},
	}
}

// fallBack is TLS, and plaintext once that has failed.
type fallBack struct {
	credentials.TransportCredentials
	failed *atomic.Bool
}

// ClientHandshake implements the interface.
func (f fallBack) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if f.failed.Load() {
		return insecure.NewCredentials().ClientHandshake(ctx, authority, conn)
	}
	secure, info, err := f.TransportCredentials.ClientHandshake(ctx, authority, conn)
	f.failed.Store(err != nil)
	return secure, info, err
}

// Clone implements the interface.
func (f fallBack) Clone() credentials.TransportCredentials {
	return fallBack{f.TransportCredentials.Clone(), f.failed}
}
