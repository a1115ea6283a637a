package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/internal/bench"
)

type streamsCmd struct {
	Target   []string      `default:"sqlite" placeholder:"NAME" help:"Servers to compare with bare gRPC, by default ${default}."`
	Postgres string        `placeholder:"DSN" help:"As with compare."`
	Streams  int           `default:"10000" placeholder:"N" help:"How many log streams are open, by default ${default}."`
	Conns    int           `default:"16" placeholder:"N" help:"Over how many connections, by default ${default}."`
	Lines    int           `default:"5000" placeholder:"N" help:"How many lines are sent through a stream, by default ${default}."`
	Sample   int           `default:"1000" placeholder:"N" help:"Through how many of the streams, by default ${default}."`
	Rest     time.Duration `default:"12s" placeholder:"TIME" help:"For how long a server is left alone before it is looked at, by default ${default}."`
	Output   string        `short:"o" default:"table" enum:"table,json" placeholder:"FORM" help:"Form of the results: table or json; by default ${default}."`
}

// Help says what is measured.
func (streamsCmd) Help() string {
	return `Open log streams on a gRPC server with empty handlers, and on servers of ours, and print how much
resident memory each stream takes: while it is idle, and after lines went through it, of which some streams are
a sample. What a server holds is looked at after a rest, in which one that collects its garbage when it is quiet
does so; before the streams are opened, and for the figures that say so, it is told to. It takes two or three minutes.`
}

// held is what the streams of a server take.
type held struct {
	Target  string `json:"target"`
	Streams int    `json:"streams"`
	// Per stream, in bytes: idle, and after lines; the same without garbage.
	Idle       int64 `json:"idle_bytes"`
	IdleLive   int64 `json:"idle_live_bytes"`
	Used       int64 `json:"used_bytes"`
	UsedLive   int64 `json:"used_live_bytes"`
	Files      int   `json:"files"`
	FilesAfter int   `json:"files_after_lines"`
	RSS        int64 `json:"rss_bytes"`
}

// Run measures one server after the other.
func (c *streamsCmd) Run(con *console) error {
	if c.Streams < 1 || c.Conns < 1 || c.Lines < 1 || c.Sample < 1 || c.Sample > c.Streams || c.Rest < 0 {
		return badUsage{errors.New("--streams, --conns, --lines or --sample is 0 or less, --rest is less, or --sample is over --streams: give another")}
	}
	if err := checkTargets(c.Target); err != nil {
		return err
	}
	ctx, stop := untilAsked()
	defer stop()
	var rows []held
	for _, name := range append([]string{bareName}, c.Target...) {
		row, err := c.measure(ctx, con, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rows = append(rows, row)
	}
	return form{c.Output}.show(con, rows, c.sheet(rows))
}

// measure is one server.
func (c *streamsCmd) measure(ctx context.Context, con *console, name string) (_ held, err error) {
	start := compareCmd{Postgres: c.Postgres, Live: c.Streams, shape: shape{Conns: c.Conns}}
	r, err := start.start(ctx, con, name)
	if err != nil {
		return held{}, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	_, before, err := c.look(ctx, r)
	if err != nil {
		return held{}, err
	}
	streams, err := bench.OpenStreams(ctx, r.conns, r.attempts)
	if err != nil {
		return held{}, err
	}
	idle, idleLive, err1 := c.look(ctx, r)
	err2 := streams.Send(c.Sample, c.Lines)
	used, usedLive, err3 := c.look(ctx, r)
	if err := errors.Join(err1, err2, err3, streams.Close()); err != nil {
		return held{}, err
	}
	each := func(now, then bench.Spent, n int) int64 { return (now.RSS - then.RSS) / int64(n) }
	out := held{
		Target: name, Streams: c.Streams, Files: idle.Files - before.Files, FilesAfter: used.Files - before.Files, RSS: used.RSS,
		Idle: each(idle, before, c.Streams), IdleLive: each(idleLive, before, c.Streams),
	}
	out.Used = out.IdleLive + each(used, idleLive, c.Sample)
	out.UsedLive = out.IdleLive + each(usedLive, idleLive, c.Sample)
	return out, nil
}

// look is what the server holds after a rest, and without its garbage.
func (c *streamsCmd) look(ctx context.Context, r *rival) (held, live bench.Spent, err error) {
	if held, err = bench.AfterRest(ctx, r.server.Process.Pid, c.Rest); err != nil {
		return held, live, err
	}
	if err = r.server.collect(); err != nil {
		return held, live, err
	}
	live, err = bench.SpentBy(r.server.Process.Pid)
	return held, live, err
}

func (c *streamsCmd) sheet(rows []held) *sheet {
	out := &sheet{heads: []string{
		"server", "idle KiB", "without garbage", fmt.Sprintf("after %d lines KiB", c.Lines), "without garbage", "files", "after lines", "RSS MiB",
	}}
	kib := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<10)) }
	for _, r := range rows {
		out.add(r.Target, kib(r.Idle), kib(r.IdleLive), kib(r.Used), kib(r.UsedLive), fmt.Sprint(r.Files), fmt.Sprint(r.FilesAfter), mebibytes(r.RSS))
	}
	return out
}
