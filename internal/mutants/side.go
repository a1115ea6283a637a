package mutants

import (
	"context"
	"errors"
	"fmt"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// sentinels are checks of other things, which a mutant passes that does not list them:
// some of each family, and of each RPC.
var sentinels = []string{
	"AUTH-2/cut/GetTaskSpec", "AUTH-3/no-tenant/Register", "AUTH-6/headers/GetTaskSpec", "AUTH-7/operator-token/PushXCom",
	"AUTH-11/viewer-may/GetRun", "BEAT-3/finished", "BEAT-7/interval", "ERR-1/invalid", "ERR-4/unknown/FetchXCom",
	"ISO-1/twin/GetTaskSpec", "ISO-4/not-live/ReportState", "LIMIT-1/large/Register", "LOG-3/resend", "LOG-5/final",
	"REG-1/session", "SECRET-2/exact/GetConnections", "SPEC-1/every-field", "STATE-2/running-success",
	"TOKEN-2/identity", "XCOM-4/bytes",
}

// plaintext is the way in which mutants are judged that claim to speak it.
const plaintext = "plaintext"

// Side is the mutants of a control plane, to be judged.
func Side() (*matrix.Side, error) {
	rules, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	s := &matrix.Side{
		Side: catalogue.Server, Rules: rules, Sentinels: sentinels, Unfound: unfound, AtOnce: 2, Open: onBenches,
		Checks: serversuite.Checks(&serversuite.Target{Capabilities: &conformancev1.GetCapabilitiesResponse{}}),
	}
	for _, m := range Servers() {
		s.Mutants = append(s.Mutants, m.entry())
	}
	return s, nil
}

// entry is the mutant as the matrix knows it.
func (m Mutant) entry() matrix.Mutant {
	e := matrix.Mutant{Name: m.Name, Check: m.Check, Also: m.Also, Broad: m.Broad}
	if m.Plaintext {
		e.Way = plaintext
	}
	return e
}

// onBenches makes a judge with a server of its own for each channel, which the mutants
// that it judges share: checks meet no names but their own.
func onBenches(context.Context) (matrix.Judge, func() error, error) {
	benches := map[bool]*Bench{}
	judge := func(ctx context.Context, m matrix.Mutant, checks []string) (*suite.Results, error) {
		mutant, err := mutantOf(m)
		if err != nil {
			return nil, err
		}
		confidential := m.Way != plaintext || m.Name != "" // without the fault, what claims to speak plaintext does
		if benches[confidential] == nil {
			bench, err := NewBench(ctx, confidential)
			if err != nil {
				return nil, err
			}
			benches[confidential] = bench
		}
		return benches[confidential].JudgeMutant(ctx, mutant, suite.Options{Seed: 1, Only: checks, TimeScale: patience})
	}
	return judge, func() (err error) {
		for _, b := range benches {
			err = errors.Join(err, b.Close())
		}
		return err
	}, nil
}

// patience stretches the checks' waits: a mutant is to be found by what it does, not by
// how busy the machine is.
const patience = 3

// mutantOf is the mutant of an entry; of one without a name, a proxy that breaks nothing.
func mutantOf(e matrix.Mutant) (Mutant, error) {
	if e.Name == "" {
		return Mutant{Plaintext: e.Way == plaintext, server: func() *server { return &server{} }}, nil
	}
	for _, m := range Servers() {
		if m.Name == e.Name {
			return m, nil
		}
	}
	return Mutant{}, fmt.Errorf("there is no mutant %q", e.Name)
}

// unfound are the checks of what must be kept that no mutant can be made for.
var unfound = map[string]string{}
