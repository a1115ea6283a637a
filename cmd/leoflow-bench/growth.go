package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/bench"
)

// growWorkers call at the same time: few, since what is looked at is what a call costs.
const growWorkers = 8

// reaperReads names what the reaper reads at a look, which is no call.
const reaperReads = "reaper's read"

type growthCmd struct {
	Axis     []string      `placeholder:"NAME" help:"What grows: tasks, live, tenants, log; by default all."`
	Largest  int           `placeholder:"N" help:"Let nothing grow beyond this; by default to 10,000 tasks of a run, 100,000 live attempts, 1,000 tenants, 1,000,000 lines."`
	Rounds   int           `default:"3" placeholder:"N" help:"How often each call is measured, in turn; the cheapest round counts. By default ${default}."`
	For      time.Duration `default:"500ms" placeholder:"TIME" help:"How long each kind of call is made in a round, by default ${default}."`
	Launches int           `default:"150" placeholder:"N" help:"Attempts that are launched, and ended, in a round; by default ${default}."`
	Most     float64       `default:"2" placeholder:"RATIO" help:"The most that a call may cost of what it cost before the growth, by default ${default}."`
	On       string        `default:"sqlite" enum:"sqlite,postgres" placeholder:"DATABASE" help:"What the servers store in: sqlite or postgres; by default ${default}."`
	Postgres string        `placeholder:"DSN" help:"With --on postgres: make the databases on this server; by default on private ones, from the installed binaries."`
	form
}

// Help says what is measured.
func (growthCmd) Help() string {
	return `Measure what calls cost on two servers of ours that differ in one size, a small and a large one: tasks of
a run, live attempts, tenants, lines of a log. The cost is processor time of the server and its database
per call. The command fails when a call costs more than --most of what it costs on the small one. The
reaper reads every live attempt: that grows, and is shown per attempt.`
}

// axis is something that grows.
type axis struct {
	name, of     string
	small, large int
	calls        []string
	// make makes a world of that size.
	make func(ctx context.Context, s *subject, size, launches int) (*bench.World, error)
}

// agentsCalls and operatorsCalls are those that a growing work might make dearer.
var (
	agentsCalls = []string{
		string(bench.Heartbeat), string(bench.Spec), string(bench.Push), string(bench.Fetch),
		bench.Launch, bench.RunAndEnd, bench.OpenLog,
	}
	operatorsCalls = []string{bench.WatchRun, bench.GetRun, bench.ListRuns, bench.ListTasks, bench.ListAttempts}
)

// usualTasks are those of a run where it is not they that grow.
const usualTasks = 10

var axes = []axis{
	{"tasks", "tasks of a run", 10, 9_999, slices.Concat(agentsCalls, operatorsCalls), makeTasks},
	{"live", "live attempts", 100, 100_000, slices.Concat(agentsCalls, operatorsCalls, []string{reaperReads}), makeLive},
	{"tenants", "tenants", 1, 1_000, slices.Concat(agentsCalls, operatorsCalls), makeTenants},
	{"log", "lines of a log", 10, 1_000_000, []string{string(bench.Heartbeat), bench.OpenLog, bench.AppendLog, bench.ReadLog}, makeLog},
}

func makeTasks(ctx context.Context, s *subject, size, launches int) (*bench.World, error) {
	return bench.MakeWorld(ctx, s.conns, s.hello.Operator, size, launches)
}

func makeLive(ctx context.Context, s *subject, size, launches int) (*bench.World, error) {
	_, err := bench.Population{
		Conn: s.conns[0], OperatorToken: s.hello.Operator, Name: "crowd", Attempts: size, Tasks: min(size, usualTasks*10), Entrypoint: "true",
	}.Make(ctx)
	if err != nil {
		return nil, err
	}
	return bench.MakeWorld(ctx, s.conns, s.hello.Operator, usualTasks, launches)
}

func makeTenants(ctx context.Context, s *subject, _, launches int) (*bench.World, error) {
	if err := bench.Crowd(ctx, s.conns[0], s.hello.Operators); err != nil {
		return nil, err
	}
	return bench.MakeWorld(ctx, s.conns, s.hello.Operator, usualTasks, launches)
}

func makeLog(ctx context.Context, s *subject, size, launches int) (*bench.World, error) {
	w, err := bench.MakeWorld(ctx, s.conns, s.hello.Operator, usualTasks, launches)
	if err == nil {
		err = w.Log(ctx, size)
	}
	return w, err
}

// grown is what a call cost on both servers.
type grown struct {
	Axis  string     `json:"axis"`
	Call  string     `json:"call"`
	Small growthCost `json:"small"`
	Large growthCost `json:"large"`
	// Ratio is of the cost per call, and for the reaper of the cost per live attempt.
	Ratio float64 `json:"ratio"`
}

// growthCost is what a call cost at a size.
type growthCost struct {
	Size int           `json:"size"`
	CPU  time.Duration `json:"cpu_per_call_ns"` // of the reaper: the time of a look
	P50  time.Duration `json:"p50_ns"`
}

// Run measures.
func (c *growthCmd) Run(con *console) error {
	chosen, err := c.chosen()
	if err != nil {
		return err
	}
	ctx, stop := untilAsked()
	defer stop()
	var all []grown
	for _, a := range chosen {
		got, err := c.axis(ctx, con, a)
		if err != nil {
			return fmt.Errorf("%s: %w", a.of, err)
		}
		all = append(all, got...)
	}
	return errors.Join(c.show(con, all, growthSheet(all)), tooFar(all, c.Most))
}

// tooFar is an error where a call grew by more than it may.
func tooFar(all []grown, most float64) error {
	var errs []error
	for _, g := range all {
		if !(g.Ratio <= most) {
			errs = append(errs, fmt.Errorf("%s: %s with %d costs %.2f of what it costs with %d, must be at most %.2f",
				g.Axis, g.Call, g.Large.Size, g.Ratio, g.Small.Size, most))
		}
	}
	return errors.Join(errs...)
}

func (c *growthCmd) chosen() ([]axis, error) {
	if c.Rounds < 1 || c.For <= 0 || c.Launches < 1 || c.Most <= 0 || c.Largest < 0 {
		return nil, badUsage{errors.New("--rounds, --for, --launches, --most or --largest is 0 or less: give more, or leave it out")}
	}
	var out []axis
	for _, a := range axes {
		if len(c.Axis) > 0 && !slices.Contains(c.Axis, a.name) {
			continue
		}
		if c.Largest > 0 {
			a.large = min(a.large, c.Largest)
		}
		if a.large <= a.small {
			return nil, badUsage{fmt.Errorf("--largest %d: %s begin with %d; give more", c.Largest, a.of, a.small)}
		}
		out = append(out, a)
	}
	for _, name := range c.Axis {
		if !slices.ContainsFunc(axes, func(a axis) bool { return a.name == name }) {
			return nil, badUsage{fmt.Errorf("--axis %q: no such thing grows; give some of tasks, live, tenants, log", name)}
		}
	}
	return out, nil
}

// side is one of the two servers of an axis.
type side struct {
	*subject
	size   int
	world  *bench.World
	looks  *bench.Looks
	rounds map[string][]growthCost
	made   map[string]int // calls so far
}

// axis measures the calls of one.
func (c *growthCmd) axis(ctx context.Context, con *console, a axis) (out []grown, err error) {
	var sides []*side
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.end())
		}
	}()
	for _, size := range []int{a.small, a.large} {
		s, err := c.side(ctx, con, a, size)
		if err != nil {
			return nil, err
		}
		sides = append(sides, s)
	}
	for range c.Rounds {
		for _, call := range a.calls {
			for _, s := range sides {
				if err := c.measure(ctx, s, call); err != nil {
					return nil, fmt.Errorf("%s with %d: %w", call, s.size, err)
				}
			}
		}
	}
	for _, call := range a.calls {
		g := grown{Axis: a.of, Call: call, Small: sides[0].cheapest(call), Large: sides[1].cheapest(call)}
		small, large := float64(g.Small.CPU), float64(g.Large.CPU)
		if call == reaperReads {
			small, large = small/float64(g.Small.Size), large/float64(g.Large.Size)
		}
		g.Ratio = quotient(large, small)
		out = append(out, g)
	}
	return out, nil
}

// side starts one.
func (c *growthCmd) side(ctx context.Context, con *console, a axis, size int) (_ *side, err error) {
	tenants := 1
	if a.name == "tenants" {
		tenants = size
	}
	s := &side{size: size, rounds: map[string][]growthCost{}, made: map[string]int{}}
	s.subject, err = setup{
		on: c.On, postgres: c.Postgres, conns: 4, args: []string{"--usual", "--unlimited", "--tenants", fmt.Sprint(tenants)},
	}.start(ctx, con)
	if err != nil {
		return nil, err
	}
	if s.world, err = a.make(ctx, s.subject, size, c.Launches*c.Rounds); err == nil {
		s.looks, err = bench.WatchLooks(ctx, s.hello.Metrics, looksEvery)
	}
	if err != nil {
		return nil, errors.Join(err, s.subject.end())
	}
	return s, nil
}

func (s *side) end() error {
	_, err := s.looks.End()
	return errors.Join(err, s.subject.end())
}

// measure is one round of one kind of call.
func (c *growthCmd) measure(ctx context.Context, s *side, call string) error {
	if call == reaperReads {
		return s.look(ctx)
	}
	workers, during, do := growWorkers, c.For, s.world.Call(call)
	switch {
	case bench.Alone(call):
		workers = 1
	case call == bench.Launch, call == bench.RunAndEnd:
		during = time.Hour // it ends with what it uses up
		limit, all := s.made[call]+c.Launches, do
		do = func(ctx context.Context, n int) error {
			if n >= limit {
				return bench.ErrUsedUp
			}
			return all(ctx, n)
		}
	}
	var got bench.Result
	spent, err := s.costOf(func() (err error) {
		got, err = bench.Loop(ctx, workers, s.made[call], during, do)
		return err
	})
	if err != nil {
		return err
	}
	cpu := (spent.server + spent.database) / time.Duration(max(1, got.Calls))
	s.made[call] += got.Calls
	s.rounds[call] = append(s.rounds[call], growthCost{s.size, cpu, got.P50})
	return nil
}

// look waits for a look of the reaper.
func (s *side) look(ctx context.Context) error {
	took, err := s.looks.Next(ctx)
	s.rounds[reaperReads] = append(s.rounds[reaperReads], growthCost{s.size, took, took})
	return err
}

// cheapest is the round that other work on the machine disturbed least.
func (s *side) cheapest(call string) growthCost {
	return slices.MinFunc(s.rounds[call], func(a, b growthCost) int { return cmp.Compare(a.CPU, b.CPU) })
}

func growthSheet(all []grown) *sheet {
	out := &sheet{heads: []string{"what grows", "from", "to", "call", "µs before", "µs after", "ratio", "p50 ms before", "p50 ms after"}}
	for _, g := range all {
		call := g.Call
		if call == reaperReads {
			call += ", per attempt"
		}
		out.add(g.Axis, fmt.Sprint(g.Small.Size), fmt.Sprint(g.Large.Size), strings.ReplaceAll(call, "|", " "),
			micros(g.Small.CPU), micros(g.Large.CPU), ratio(g.Ratio), ms(g.Small.P50), ms(g.Large.P50))
	}
	return out
}
