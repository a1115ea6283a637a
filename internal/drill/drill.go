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
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// runID names the run of a drill.
const runID = "run"

// compareWithin bounds the reading of what is stored.
const compareWithin = time.Minute

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
	// Replicas is how many servers there are, of the PostgreSQL database that Database
	// names, each killed in its turn; 0: one, with a database of its own. With several
	// there is a crowd of agents beside the pipeline.
	Replicas int
	Database string
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
	// Crowd is what was compared of the crowd; nil: there was none.
	Crowd *Crowd
}

// String is the closing line.
func (r *Result) String() string {
	crowd := ""
	if r.Crowd != nil {
		crowd = ", " + r.Crowd.String()
	}
	return fmt.Sprintf("%d kills, %d attempts%s; acknowledged: %d reports, %d values, %d lines; lost %d, doubled %d, wrong %d",
		r.Kills, r.Attempts, crowd, r.Reports, r.Values, r.Lines, len(r.Lost), len(r.Doubled), len(r.Wrong))
}

type drill struct {
	Config
	plan     *Plan
	recorder *Recorder
	planes   []*plane
	turn     int // whose turn it is to be killed
	proxy    *Proxy
	crowd    *crowd // nil: none
}

// Run drills: it runs a pipeline on a server that it kills at random moments, reads
// the store once the run has ended and the server was killed once more, and compares.
// An error means that the drill could not be held; what differs is in the result, and
// so is that the run did not end as it should within ctx.
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
	defer d.killAll()
	if err := d.startAll(ctx, said); err != nil {
		return nil, err
	}
	token, err := d.planes[0].token(ctx)
	if err != nil {
		return nil, err
	}
	kills, held := d.run(ctx, token, storm(random, cfg.Kills, d.plan.Lines()))
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, held
	}
	// What a run came to that took too long, or ended badly, is worth a look too.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), compareWithin)
	defer cancel()
	result, err := d.compare(ctx, token)
	if err != nil {
		return nil, errors.Join(held, err)
	}
	result.Kills = kills
	if held != nil {
		result.wrong("%v", held)
	}
	var errs []error
	for _, p := range d.planes {
		errs = append(errs, p.stop())
	}
	return result, errors.Join(errs...)
}

// startAll starts the servers.
func (d *drill) startAll(ctx context.Context, said io.Writer) error {
	for range max(1, d.Replicas) {
		p := &plane{program: d.Program, data: filepath.Join(d.Dir, "data"), addr: "127.0.0.1:0", said: said}
		if d.Replicas > 0 {
			p.args = []string{"--shared", "--database", d.Database, "--silence-window", silence.String()}
		}
		d.planes = append(d.planes, p)
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) killAll() {
	for _, p := range d.planes {
		p.kill()
	}
}

// run runs the pipeline through the proxy, and kills meanwhile.
func (d *drill) run(ctx context.Context, token string, moments []kill) (kills int, err error) {
	file, err := d.plan.Write(d.Dir)
	if err != nil {
		return 0, err
	}
	var addrs []string
	for _, p := range d.planes {
		addrs = append(addrs, p.addr)
	}
	if d.proxy, err = StartProxy(d.recorder, addrs...); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.proxy.Close()) }()
	if d.Replicas > 1 {
		if d.crowd, err = gather(ctx, d.proxy.Addr(), token); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, d.crowd.end()) }()
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	striking, end := context.WithCancel(ctx) // until the run has ended
	defer end()
	outcome := make(chan error, 1)
	go func() {
		defer end()
		outcome <- d.pipeline(running, token, file)
	}()
	for i, moment := range moments {
		next := d.plan.Lines()
		if i+1 < len(moments) {
			next = moments[i+1].lines
		}
		n, struck := d.strike(striking, moment, next)
		if kills += n; struck != nil {
			if striking.Err() == nil {
				stop()
			}
			err = fmt.Errorf("after %d kills of %d moments to kill at: %w", kills, len(moments), struck)
			break
		}
	}
	return kills, errors.Join(err, <-outcome)
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
	d.killAll()
	for _, p := range d.planes {
		if err := p.start(ctx); err != nil {
			return nil, err
		}
	}
	conn, err := grpc.NewClient(d.planes[0].addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is under way any more
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	client := controlv1.NewControlServiceClient(conn)
	stored, err := ReadBack(ctx, client, d.plan.Dag, runID)
	if err != nil {
		return nil, fmt.Errorf("the store cannot be read: %w", err)
	}
	output, err := os.ReadFile(filepath.Join(d.Dir, "run.out"))
	if err != nil {
		return nil, err
	}
	seen := d.recorder.Of(d.plan.Dag)
	verdict := Compare(seen, stored)
	d.plan.Check(verdict, stored)
	d.plan.CheckShown(verdict, string(output))
	if err := d.plan.CheckBegun(verdict, d.Dir); err != nil {
		return nil, err
	}
	result := &Result{Verdict: verdict, Attempts: len(stored.Attempts), Plan: d.plan, Seen: seen, Stored: stored}
	if d.crowd == nil {
		return result, nil
	}
	if result.Crowd, err = d.crowd.told(ctx, client, d.recorder.Of(crowdDag)); err != nil {
		return nil, fmt.Errorf("what is stored of the crowd cannot be read: %w", err)
	}
	result.Crowd.Check(verdict)
	return result, nil
}

func (d *drill) say(format string, args ...any) {
	if d.Out != nil {
		fmt.Fprintf(d.Out, format+"\n", args...)
	}
}
