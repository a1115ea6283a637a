package mutants

import (
	"context"

	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// Mutant is a control plane that breaks one rule, and the check that must find it.
type Mutant struct {
	// Name says what it does wrong.
	Name string
	// Rule is the rule that it breaks, and Check the one of its checks that must fail.
	Rule, Check string
	// Also are the other checks that find it.
	Also matrix.Also
	// Broad says why any number of others may find it, and Also need not list them: it
	// breaks who calls, or the transport.
	Broad string
	// Plaintext: it claims to speak plaintext.
	Plaintext bool

	server func() *server
}

// Serve serves the mutant before a server of ours and its FixtureService, on a free port
// of this machine, until stop is called. The address serves both.
func (m Mutant) Serve(ctx context.Context, conn, fixture grpc.ClientConnInterface) (addr string, stop func(), err error) {
	return m.server().serve(ctx, conn, fixture)
}

// Servers are all mutants of a control plane.
func Servers() []Mutant {
	var out []Mutant
	for _, of := range [][]Mutant{authMutants, isoMutants, stateMutants, renewMutants, xcomMutants, secretMutants, faultMutants, errorMutants, logMutants, limitMutants, shipMutants, clockMutants, silenceMutants, outageMutants, operatorMutants, operatorCellMutants(), cellMutants(), transitionMutants(), endMutants()} {
		out = append(out, of...)
	}
	return out
}
