package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/bench"
)

const (
	// lateAfter is how long after it was due a beat may be answered: far less than what
	// an attempt's life hangs on.
	lateAfter = time.Second
	// fellBehind is how long after it was due a beat may be sent: a quarter of the window of
	// silence. Beyond that attempts are silent by themselves.
	fellBehind = 30 * time.Second
	// usageEvery is how often a process is looked at, and looksEvery the page of metrics.
	usageEvery = time.Second
	looksEvery = 500 * time.Millisecond
)

type beatsCmd struct {
	Attempts int           `default:"1000" placeholder:"N" help:"Live attempts, by default ${default}."`
	Every    time.Duration `default:"15s" placeholder:"TIME" help:"How often each of them beats, by default ${default}."`
	For      time.Duration `default:"1m" placeholder:"TIME" help:"How long they beat, by default ${default}."`
	Tenants  int           `default:"1" placeholder:"N" help:"Tenants that the attempts are of, by default ${default}."`
	Workers  int           `default:"256" placeholder:"N" help:"The most beats under way at once, by default ${default}."`
	Conns    int           `default:"16" placeholder:"N" help:"Over how many connections, by default ${default}."`
	DataDir  string        `placeholder:"DIR" help:"Where the server's data are while it runs; by default in a folder of its own for temporary files."`
	On       string        `default:"sqlite" enum:"sqlite,postgres" placeholder:"DATABASE" help:"What the server stores in: sqlite or postgres; by default ${default}."`
	Postgres string        `placeholder:"DSN" help:"With --on postgres: make the database on this server; by default on a private one, from the installed binaries."`
	Profile  string        `type:"existingdir" placeholder:"DIR" help:"Write a profile of the server's processor into this directory."`
	form
}

// Help says what is simulated.
func (beatsCmd) Help() string {
	return `Start a server of ours with the limits and windows of use, launch many attempts, and have the agents of
all of them beat, each at its own moment of the interval. All agents are in this one process: a beat
costs a call, and nothing while it is not due. The command fails when an attempt was lost, or a beat
was not answered OK. Heartbeats are held against the rate of their attempt alone, never against that of
their tenant, so any number of tenants will do.`
}

// beatsReport is what came of it.
type beatsReport struct {
	Attempts  int               `json:"attempts"`
	Every     time.Duration     `json:"every_ns"`
	Tenants   int               `json:"tenants"`
	On        string            `json:"on"`
	Launching time.Duration     `json:"launching_ns"`
	Fleet     bench.FleetResult `json:"fleet"`
	PerSecond float64           `json:"beats_per_second"`
	Lost      int               `json:"lost"`
	Server    bench.Usage       `json:"server"`
	Database  bench.Usage       `json:"database"`
	// PerBeat is the processor time per beat.
	PerBeat         time.Duration `json:"server_cpu_per_beat_ns"`
	DatabasePerBeat time.Duration `json:"database_cpu_per_beat_ns"`
	// Reaper is how long each look of the reaper read the live attempts.
	Reaper    []time.Duration `json:"reaper_reads_ns"`
	ReaperMax time.Duration   `json:"reaper_read_max_ns"`
}

// Run simulates.
func (c *beatsCmd) Run(con *console) (err error) {
	if c.Attempts < 1 || c.Every <= 0 || c.For <= 0 || c.Workers < 1 || c.Conns < 1 || c.Tenants < 1 {
		return badUsage{errors.New("--attempts, --every, --for, --tenants, --workers or --conns is 0 or less: give more, or leave it out")}
	}
	if c.Tenants > c.Attempts {
		return badUsage{fmt.Errorf("--tenants %d: there are only %d attempts; give fewer tenants, or more --attempts", c.Tenants, c.Attempts)}
	}
	ctx, stop := untilAsked()
	defer stop()
	s, err := setup{
		on: c.On, postgres: c.Postgres, conns: c.Conns, dataDir: c.DataDir, args: []string{"--usual", "--tenants", fmt.Sprint(c.Tenants)},
		profileDir: c.Profile, name: "beats-" + c.On,
	}.start(ctx, con)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	began := time.Now()
	attempts, err := c.launch(ctx, s)
	if err != nil {
		return err
	}
	report, err := c.beat(ctx, s, attempts, time.Since(began))
	if err != nil {
		return err
	}
	return errors.Join(c.show(con, report, report.sheet()), report.judge())
}

// launch launches the attempts, spread over the tenants. None is reported to run, since it
// would have to beat from then on; with its first beat it has to as well.
func (c *beatsCmd) launch(ctx context.Context, s *subject) ([]bench.Attempt, error) {
	var tokens []string
	for n, operator := range s.hello.Operators {
		share := c.Attempts/c.Tenants + min(1, max(0, c.Attempts%c.Tenants-n))
		got, err := bench.Population{
			Conn: s.conns[0], OperatorToken: operator, Name: "beats", Attempts: share, Entrypoint: "true",
		}.Make(ctx)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, got...)
	}
	return bench.NewAttempts(tokens), nil
}

// beat has them beat, while the server is looked at.
func (c *beatsCmd) beat(ctx context.Context, s *subject, attempts []bench.Attempt, launching time.Duration) (*beatsReport, error) {
	out := &beatsReport{Attempts: c.Attempts, Every: c.Every, Tenants: c.Tenants, On: c.On, Launching: launching}
	looks, err := bench.WatchLooks(ctx, s.hello.Metrics, looksEvery)
	if err != nil {
		return nil, err
	}
	server, database := s.watch(ctx)
	out.Fleet, err = bench.Fleet{
		Conns: s.conns, Attempts: attempts, Every: c.Every, For: c.For, Workers: c.Workers, Late: lateAfter,
	}.Run(ctx)
	var errs [3]error
	out.Server, errs[0] = server.End()
	if database != nil {
		out.Database, errs[1] = database.End()
	}
	out.Reaper, errs[2] = looks.End()
	if err := errors.Join(append(errs[:], err)...); err != nil {
		return nil, err
	}
	if len(out.Reaper) > 0 {
		out.ReaperMax = slices.Max(out.Reaper)
	}
	out.PerSecond = out.Fleet.PerSecond()
	beats := time.Duration(max(1, out.Fleet.Beats))
	out.PerBeat, out.DatabasePerBeat = out.Server.CPU/beats, out.Database.CPU/beats
	live := 0
	for _, operator := range s.hello.Operators {
		standing, err := bench.Standing(ctx, s.conns[0], operator)
		if err != nil {
			return nil, err
		}
		live += standing[policyv1.TaskState_TASK_STATE_QUEUED]
	}
	out.Lost = c.Attempts - live
	return out, nil
}

// judge is an error where something is wrong.
func (r *beatsReport) judge() error {
	var errs []error
	if r.Lost > 0 || len(r.Fleet.Ended) > 0 {
		errs = append(errs, fmt.Errorf("%d of %d attempts are not live any more though all of them beat; told to end: %v", r.Lost, r.Attempts, r.Fleet.Ended))
	}
	if r.Fleet.Behind > fellBehind {
		errs = append(errs, fmt.Errorf("beats were sent up to %v after they were due, so attempts were silent: "+
			"this machine is too slow or too busy for so many; give fewer --attempts", r.Fleet.Behind.Round(time.Second)))
	}
	if r.Fleet.Failed > 0 {
		errs = append(errs, fmt.Errorf("%d beats were not answered OK, the first with: %s", r.Fleet.Failed, r.Fleet.FirstFailure))
	}
	return errors.Join(errs...)
}

func (r *beatsReport) sheet() *sheet {
	out := &sheet{heads: []string{"what", "on " + r.On}}
	out.add("attempts, tenants", fmt.Sprintf("%d, %d", r.Attempts, r.Tenants))
	out.add("launched in", r.Launching.Round(time.Second).String())
	out.add("interval, for", fmt.Sprintf("%v, %v", r.Every, r.Fleet.Took.Round(time.Second)))
	out.add("beats", fmt.Sprintf("%d, %.0f/s", r.Fleet.Beats, r.PerSecond))
	out.add("from due to answer, p50, p99, max ms", fmt.Sprintf("%s, %s, %s", ms(r.Fleet.P50), ms(r.Fleet.P99), ms(r.Fleet.Most)))
	out.add("sent after it was due, at most ms", ms(r.Fleet.Behind))
	out.add("answered over "+lateAfter.String()+" late", fmt.Sprint(r.Fleet.Late))
	out.add("answered not OK", fmt.Sprint(r.Fleet.Failed))
	out.add("falsely lost", fmt.Sprint(r.Lost))
	out.add("server µs/beat", micros(r.PerBeat))
	out.add("database µs/beat", micros(r.DatabasePerBeat))
	out.add("server RSS MiB, mean, peak", mebibytes(r.Server.RSSMean)+", "+mebibytes(r.Server.RSSPeak))
	out.add("reaper's reads, longest ms", fmt.Sprintf("%d, %s", len(r.Reaper), ms(r.ReaperMax)))
	return out
}

// watch watches the processes; the second is nil where the database is in the server.
func (s *subject) watch(ctx context.Context) (server, database *bench.Watcher) {
	server = bench.Watch(ctx, s.server.Process.Pid, usageEvery)
	if s.database != nil {
		database = bench.Watch(ctx, s.database.Process.Pid, usageEvery)
	}
	return server, database
}
