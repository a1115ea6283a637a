package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// runID names the run of a drill.
const runID = "run"

// maxReply is the largest reply taken from the server, in bytes.
const maxReply = 16 << 20

// Config says how to drill. All but Out is needed.
type Config struct {
	Program  string // the leoflow command
	Dir      string // an empty directory, for all that the drill writes
	Kills    int    // at least 1
	Groups   int    // of tasks: 1 to [MaxGroups]
	Parallel int    // the most agents at once, at least 1
	Seed     uint64 // of the plan and the moments
	// Out is told each kill as it happens; nil: nobody is.
	Out io.Writer
}

// Result is what a drill came to.
type Result struct {
	*Verdict
	Kills    int
	Attempts int
	Plan     *Plan
	// Seen and Stored are what was compared.
	Seen   map[Attempt]*Seen
	Stored *Stored
}

// String is the closing line.
func (r *Result) String() string {
	return fmt.Sprintf("%d kills, %d attempts; acknowledged: %d reports, %d values, %d lines; lost %d, doubled %d, wrong %d",
		r.Kills, r.Attempts, r.Reports, r.Values, r.Lines, len(r.Lost), len(r.Doubled), len(r.Wrong))
}

type drill struct {
	Config
	plan     *Plan
	recorder *Recorder
	plane    *plane
	proxy    *Proxy
}

// Run drills: it runs a pipeline on a server that it kills at random moments, reads
// the store once the run has ended and the server was killed once more, and compares.
// An error means that the drill could not be held; what differs is in the result.
func Run(ctx context.Context, cfg Config) (_ *Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	random := rand.New(rand.NewPCG(cfg.Seed, 0)) //nolint:gosec // a drill has to be repeatable
	d := &drill{Config: cfg, plan: NewPlan(random, cfg.Groups), recorder: NewRecorder()}
	said, err := os.Create(filepath.Join(cfg.Dir, "serve.log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, said.Close()) }()
	d.plane = &plane{program: cfg.Program, data: filepath.Join(cfg.Dir, "data"), addr: "127.0.0.1:0", said: said}
	if err := d.plane.start(ctx); err != nil {
		return nil, err
	}
	defer func() { d.plane.kill() }()
	token, err := d.plane.token(ctx)
	if err != nil {
		return nil, err
	}
	kills, err := d.run(ctx, token, storm(random, cfg.Kills, d.plan.Lines()))
	if err != nil {
		return nil, err
	}
	result, err := d.compare(ctx, token)
	if err != nil {
		return nil, err
	}
	result.Kills = kills
	return result, d.plane.stop()
}

// run runs the pipeline through the proxy, and kills meanwhile.
func (d *drill) run(ctx context.Context, token string, moments []kill) (kills int, err error) {
	file, err := d.plan.Write(d.Dir)
	if err != nil {
		return 0, err
	}
	if d.proxy, err = StartProxy(d.plane.addr, d.recorder); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.proxy.Close()) }()
	ended, end := context.WithCancel(ctx)
	defer end()
	var outcome error
	done := make(chan struct{})
	go func() {
		defer close(done)
		outcome = d.pipeline(ctx, token, file)
		end()
	}()
	for i, moment := range moments {
		next := d.plan.Lines()
		if i+1 < len(moments) {
			next = moments[i+1].lines
		}
		n, struck := d.strike(ended, moment, next)
		if kills += n; struck != nil {
			err = fmt.Errorf("after %d of %d kills: %w", kills, len(moments), struck)
			break
		}
	}
	if ended.Err() != nil {
		err = fmt.Errorf("the run ended after %d kills: %w", kills, err)
	}
	if err != nil && ctx.Err() == nil && ended.Err() == nil {
		return kills, err // the context ends the pipeline
	}
	<-done
	return kills, errors.Join(err, outcome)
}

// pipeline runs leoflow run to its end, which must be that of a run that failed: some
// tasks of the plan do.
func (d *drill) pipeline(ctx context.Context, token, file string) error {
	out, err := os.Create(filepath.Join(d.Dir, "run.out"))
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // what was written is read again
	var said strings.Builder
	code, err := runPipeline(ctx, d.Program, d.proxy.Addr(), token, file, d.Parallel, out, &said)
	if err != nil {
		return fmt.Errorf("leoflow run: %w\n%s", err, said.String())
	}
	if code != 1 || said.Len() > 0 {
		return fmt.Errorf("leoflow run ended with code %d, and should with 1; it said: %s", code, said.String())
	}
	return nil
}

// compare reads everything back from a server that was killed and started again, so
// that it tells what is on disk, and holds it against all that is known.
func (d *drill) compare(ctx context.Context, token string) (*Result, error) {
	d.plane.kill()
	if err := d.plane.start(ctx); err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(d.plane.addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is under way any more
	stored, err := ReadBack(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token),
		controlv1.NewControlServiceClient(conn), d.plan.Dag, runID)
	if err != nil {
		return nil, fmt.Errorf("the store cannot be read: %w", err)
	}
	output, err := os.ReadFile(filepath.Join(d.Dir, "run.out"))
	if err != nil {
		return nil, err
	}
	verdict := Compare(d.recorder.Seen(), stored)
	d.plan.Check(verdict, stored)
	d.plan.CheckShown(verdict, string(output))
	if err := d.plan.CheckBegun(verdict, d.Dir); err != nil {
		return nil, err
	}
	return &Result{Verdict: verdict, Attempts: len(stored.Attempts), Plan: d.plan, Seen: d.recorder.Seen(), Stored: stored}, nil
}

func (d *drill) say(format string, args ...any) {
	if d.Out != nil {
		fmt.Fprintf(d.Out, format+"\n", args...)
	}
}
