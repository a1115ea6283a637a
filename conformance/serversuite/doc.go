// Package serversuite is the checks that judge a control plane, over the wire of its
// AgentService and over the FixtureService of its adapter.
//
// Every check shows first that the system does the thing that is to be refused, or told
// apart, when it should be done: one that answers everything alike passes nothing. After
// a refusal it looks behind the wire that nothing changed.
//
// It may import conformance, its suite, gen and grpc, and nothing of what it judges.
package serversuite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// Target is a control plane to be judged.
type Target struct {
	// Conn leads to its services.
	Conn grpc.ClientConnInterface
	// Confidential: nobody else can read that connection.
	Confidential bool
	// Fixtures is its adapter.
	Fixtures conformancev1.FixtureServiceClient
	// Capabilities are what the adapter says that the server offers.
	Capabilities *conformancev1.GetCapabilitiesResponse

	// run is in every name that this run makes: another one, with the same seed, meets
	// the same server.
	run string
}

// NewTarget asks the adapter what the server offers.
func NewTarget(ctx context.Context, conn grpc.ClientConnInterface, confidential bool, fixtures conformancev1.FixtureServiceClient) (*Target, error) {
	run := make([]byte, 6)
	if _, err := rand.Read(run); err != nil {
		return nil, fmt.Errorf("make a name for the run: %w", err)
	}
	target := &Target{run: hex.EncodeToString(run), Conn: conn, Confidential: confidential, Fixtures: fixtures}
	var err error
	if target.Capabilities, err = target.Fixtures.GetCapabilities(ctx, &conformancev1.GetCapabilitiesRequest{}); err != nil {
		return nil, fmt.Errorf("ask the fixtures what the server offers: %w", err)
	}
	return target, nil
}

// offers reports whether the server has an ability of the catalogue.
func (t *Target) offers(ability string) bool {
	return slices.Contains(t.Capabilities.GetAbilities(), ability)
}

// Checks are all checks of a control plane. The target is used when they run.
func Checks(target *Target) []suite.Check {
	var out []suite.Check
	for _, of := range []func(*Target) []suite.Check{
		authChecks, kindChecks, operateChecks, startChecks, stateChecks, beatChecks, renewChecks, xcomChecks, isoChecks, secretChecks, faultChecks, errorChecks, logChecks,
		keyChecks, clockChecks, outageChecks, undeliveredChecks, operatorIsoChecks, raceChecks, silenceChecks, readerChecks,
		limitChecks, shipChecks, callerChecks,
	} {
		out = append(out, of(target)...)
	}
	return out
}
