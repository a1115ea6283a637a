package bench

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed bounds.yaml
var bounds []byte

// Bounds are the ratios that our servers are held to on every commit.
func Bounds() []byte { return bounds }

// Bound is the worst that a kind of call may cost on a server.
type Bound struct {
	Op     Op     `yaml:"op" json:"op"`
	Server string `yaml:"server" json:"server"`
	// OfBare and OfDirect are the least that calls a second may be of those of a bare
	// server, and of those of the same server without batches; 0: no bound.
	OfBare   float64 `yaml:"of_bare" json:"of_bare,omitempty"`
	OfDirect float64 `yaml:"of_direct" json:"of_direct,omitempty"`
	// CPU is the most that the processor time of a call may be of a bare server's, the
	// database's included; 0: no bound.
	CPU float64 `yaml:"cpu" json:"cpu,omitempty"`
}

// ReadBounds reads bounds, for some of the servers.
func ReadBounds(text []byte, servers []string) ([]Bound, error) {
	var out []Bound
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // it is of several lines
	}
	if len(out) == 0 {
		return nil, errors.New("there is no bound in it; give a list with op, server, and of_bare, of_direct or cpu")
	}
	for i, b := range out {
		switch {
		case !slices.Contains(Ops(), b.Op):
			return nil, fmt.Errorf("bound %d: op %q: give one of %v", i+1, b.Op, Ops())
		case !slices.Contains(servers, b.Server):
			return nil, fmt.Errorf("bound %d: server %q: give one of %v", i+1, b.Server, servers)
		case b.OfBare < 0 || b.OfDirect < 0 || b.CPU < 0 || b.OfBare+b.OfDirect+b.CPU == 0:
			return nil, fmt.Errorf("bound %d, %s on %s: give of_bare, of_direct or cpu, each more than 0", i+1, b.Op, b.Server)
		}
	}
	return out, nil
}

// Ratios are what a round of one kind of call on one server was of others of that round.
type Ratios struct {
	OfBare   float64 `json:"of_bare"`
	OfDirect float64 `json:"of_direct,omitempty"`
	// CPU is of the processor time per call; 0: the other's is too little to be told.
	CPU float64 `json:"cpu,omitempty"`
}

// MedianRatios is the median of each ratio by itself: a round in which the machine did
// something else moves none of them.
func MedianRatios(rounds []Ratios) Ratios {
	middle := func(of func(Ratios) float64) float64 {
		all := make([]float64, len(rounds))
		for i, r := range rounds {
			all[i] = of(r)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return Ratios{
		OfBare:   middle(func(r Ratios) float64 { return r.OfBare }),
		OfDirect: middle(func(r Ratios) float64 { return r.OfDirect }),
		CPU:      middle(func(r Ratios) float64 { return r.CPU }),
	}
}

// Broken says which parts of a bound do not hold; nil: none.
func (b Bound) Broken(got Ratios) error {
	var errs []error
	say := func(broken bool, text string, got, want float64) {
		if broken {
			errs = append(errs, fmt.Errorf("%s on %s: "+text, b.Op, b.Server, got, want))
		}
	}
	say(b.OfBare > 0 && !(got.OfBare >= b.OfBare), "%.2f of the calls a second of bare gRPC, must be at least %.2f", got.OfBare, b.OfBare)
	say(b.OfDirect > 0 && !(got.OfDirect >= b.OfDirect), "%.2f of the calls a second of the direct way, must be at least %.2f", got.OfDirect, b.OfDirect)
	if b.CPU > 0 && got.CPU == 0 {
		return errors.Join(append(errs, fmt.Errorf("%s on %s: too little was called for its processor time to be told: give a longer --for", b.Op, b.Server))...)
	}
	say(b.CPU > 0 && !(got.CPU <= b.CPU), "%.2f of the processor time of bare gRPC, must be at most %.2f", got.CPU, b.CPU)
	return errors.Join(errs...)
}
