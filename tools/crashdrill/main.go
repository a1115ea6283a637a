// Command crashdrill kills `leoflow serve` by SIGKILL at random moments under a
// pipeline, starts it again on its port and its directory, and compares at the end
// what the agents saw acknowledged with what the store holds.
//
//	go run ./tools/crashdrill -kills 10
//	go run ./tools/crashdrill -kills 30 -replicas 3
//
// With several replicas it kills one after the other of as many servers of one PostgreSQL
// database, a private one unless LEOFLOW_TEST_POSTGRES names a server for tests, and has
// a crowd of agents beside the pipeline that are cancelled, superseded, tried again and
// reaped.
//
// The last line it prints has the counts. It ends with 0 when nothing was lost,
// doubled or wrong, with 1 when something was or the drill could not be held, and with
// 2 for bad input. It may import internal/drill and internal/pgtest, nothing else of ours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/neochaotic/leoflow/internal/drill"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

func main() { os.Exit(run()) }

func run() int {
	cfg := drill.Config{Out: os.Stdout}
	flag.IntVar(&cfg.Kills, "kills", 10, "how often to kill, at the least: `number`; over ten a group leave agents too little time to ship their logs")
	flag.IntVar(&cfg.Groups, "groups", 5, "groups of eight tasks in the pipeline: `number`")
	flag.IntVar(&cfg.Parallel, "parallel", 8, "most agents at once: `number`")
	flag.Uint64Var(&cfg.Seed, "seed", rand.Uint64N(1_000_000), "`number` that the pipeline and the moments come from; by default another each time") //nolint:gosec // no secret
	flag.IntVar(&cfg.Replicas, "replicas", 0, "servers of one PostgreSQL database: `number`; 0: one, with an embedded database")
	limit := flag.Duration("limit", 10*time.Minute, "how long it may take: `duration`")
	flag.StringVar(&cfg.Program, "program", "", "the leoflow `command`; by default it is built")
	keep := flag.Bool("keep", false, "keep the directory, even when nothing differs")
	flag.Parse()
	if problem := check(cfg, *limit); problem != "" {
		fmt.Fprintln(os.Stderr, "crashdrill:", problem)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	fmt.Printf("seed %d\n", cfg.Seed)
	dir, err := os.MkdirTemp("", "leoflow-drill-")
	cfg.Dir = dir
	if err == nil && cfg.Program == "" {
		cfg.Program, err = drill.Build(ctx, dir)
	}
	var result *drill.Result
	if err == nil {
		result, err = hold(ctx, cfg)
	}
	clean := tell(result, err)
	if clean && !*keep {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "crashdrill:", err)
			return 1
		}
	} else {
		fmt.Fprintf(os.Stderr, "crashdrill: everything of seed %d is in %s\n", cfg.Seed, dir)
	}
	if !clean {
		return 1
	}
	return 0
}

// hold holds a drill, on a database of its own where there are replicas.
func hold(ctx context.Context, cfg drill.Config) (*drill.Result, error) {
	if cfg.Replicas > 0 {
		dsn, drop, err := pgtest.Create(ctx, "")
		if err != nil {
			return nil, err
		}
		cfg.Database = dsn
		result, held := drill.Run(ctx, cfg)
		return result, errors.Join(held, drop())
	}
	return drill.Run(ctx, cfg)
}

func check(cfg drill.Config, limit time.Duration) string {
	switch {
	case flag.NArg() > 0:
		return fmt.Sprintf("the argument %q is none: give flags alone", flag.Arg(0))
	case cfg.Kills < 1:
		return fmt.Sprintf("-kills is %d: give at least 1", cfg.Kills)
	case cfg.Groups < 1 || cfg.Groups > drill.MaxGroups:
		return fmt.Sprintf("-groups is %d: give 1 to %d", cfg.Groups, drill.MaxGroups)
	case cfg.Parallel < 1:
		return fmt.Sprintf("-parallel is %d: give at least 1", cfg.Parallel)
	case cfg.Replicas < 0 || cfg.Replicas > 20:
		return fmt.Sprintf("-replicas is %d: give 0 to 20", cfg.Replicas)
	case limit <= 0:
		return fmt.Sprintf("-limit is %v: give more than 0", limit)
	default:
		return ""
	}
}

// tell prints what differs, and the closing line; it reports whether nothing does.
func tell(result *drill.Result, err error) bool {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashdrill:", err)
		return false
	}
	for _, difference := range result.Differences() {
		fmt.Println(difference)
	}
	fmt.Println(result)
	return result.Clean()
}
