package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/neochaotic/leoflow/internal/bench"
)

// shape is how a load is made.
type shape struct {
	Workers int           `default:"32" placeholder:"N" help:"How many call at the same time, by default ${default}."`
	Conns   int           `default:"4" placeholder:"N" help:"Over how many connections, by default ${default}."`
	For     time.Duration `default:"2s" placeholder:"TIME" help:"How long each kind of call is made, by default ${default}."`
	Op      []string      `placeholder:"KIND" help:"Kinds of calls: heartbeat, report, spec, push, fetch, logs; by default all."`
	form
}

// ops are the kinds that were chosen.
func (s *shape) ops() ([]bench.Op, error) {
	if s.Workers < 1 || s.Conns < 1 || s.For <= 0 {
		return nil, badUsage{fmt.Errorf("--workers, --conns or --for is 0 or less: give more, or leave it out")}
	}
	if len(s.Op) == 0 {
		return bench.Ops(), nil
	}
	var out []bench.Op
	for _, word := range s.Op {
		op := bench.Op(strings.ToLower(word))
		if !slices.Contains(bench.Ops(), op) {
			return nil, badUsage{fmt.Errorf("--op %q: there is no such kind of call; give one of %v", word, bench.Ops())}
		}
		out = append(out, op)
	}
	return out, nil
}

type loadCmd struct {
	Addr   string `required:"" placeholder:"HOST:PORT" help:"Where the server listens."`
	Tokens string `required:"" placeholder:"FILE" help:"Tokens of live attempts, one a line. They are reported on: report settles them."`
	TLSCA  string `name:"tls-ca" placeholder:"FILE" help:"Speak TLS, and trust the certificates in this file, as PEM."`
	shape
}

// Run puts load on a server that is there.
func (c *loadCmd) Run(con *console) error {
	ops, err := c.ops()
	if err != nil {
		return err
	}
	attempts, err := readTokens(c.Tokens)
	if err != nil {
		return badUsage{fmt.Errorf("--tokens: %w", err)}
	}
	if len(attempts) < c.Workers {
		return badUsage{fmt.Errorf("--tokens: %s has %d tokens for %d workers: give one for each at least, or fewer workers", c.Tokens, len(attempts), c.Workers)}
	}
	creds, err := c.credentials()
	if err != nil {
		return badUsage{err}
	}
	conns, err := dial(c.Addr, creds, c.Conns)
	if err != nil {
		return badUsage{err}
	}
	defer hangUp(conns)
	ctx, stop := untilAsked()
	defer stop()
	var rows []row
	slices.SortStableFunc(ops, func(a, b bench.Op) int { return settles(a) - settles(b) })
	for _, op := range ops {
		load := bench.Load{Op: op, Workers: c.Workers, Conns: conns, Attempts: attempts, For: c.For}
		if op == bench.Report {
			if err := load.Begin(ctx); err != nil {
				return err
			}
		}
		got, err := bench.Run(ctx, load)
		if err != nil {
			return err
		}
		rows = append(rows, row{Op: op, PerSecond: got.PerSecond(), P50: got.P50, P99: got.P99, Calls: got.Calls})
	}
	return c.show(con, rows)
}

// settles puts reports last: the attempts are over then.
func settles(op bench.Op) int {
	if op == bench.Report {
		return 1
	}
	return 0
}

func (c *loadCmd) credentials() (credentials.TransportCredentials, error) {
	if c.TLSCA == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(c.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--tls-ca: %s holds no certificate; give a file of certificates, as PEM", c.TLSCA)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}), nil
}

func readTokens(path string) ([]bench.Attempt, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return bench.NewAttempts(strings.Fields(string(data))), nil
}

func dial(addr string, creds credentials.TransportCredentials, n int) ([]*grpc.ClientConn, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("--addr %q: %w; write it as host:port, such as 127.0.0.1:7400", addr, err)
	}
	var out []*grpc.ClientConn
	for range n {
		conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
		if err != nil {
			hangUp(out)
			return nil, fmt.Errorf("--addr %q: %w", addr, err)
		}
		out = append(out, conn)
	}
	return out, nil
}

func hangUp(conns []*grpc.ClientConn) {
	for _, conn := range conns {
		_ = conn.Close() // all calls are over
	}
}

// row is a line of the table.
type row struct {
	Op        bench.Op      `json:"op"`
	Target    string        `json:"target,omitempty"`
	PerSecond float64       `json:"per_second"`
	Calls     int           `json:"calls"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	OfBare    float64       `json:"of_bare,omitempty"`
	OfDirect  float64       `json:"of_direct,omitempty"`
	CPU       time.Duration `json:"server_cpu_per_op_ns,omitempty"`
	Database  time.Duration `json:"database_cpu_per_op_ns,omitempty"`
	RSS       int64         `json:"server_rss_bytes,omitempty"`
}

// show writes the rows in the form that was asked for.
func (s *shape) show(con *console, rows []row) error {
	table := sheet{heads: []string{"op", "server", "ops/s", "p50 ms", "p99 ms", "÷ bare", "÷ direct", "server µs/op", "db µs/op", "RSS MiB"}}
	for _, r := range rows {
		table.add(string(r.Op), cmp.Or(r.Target, "-"), fmt.Sprintf("%.0f", r.PerSecond), ms(r.P50), ms(r.P99),
			ratio(r.OfBare), ratio(r.OfDirect), micros(r.CPU), micros(r.Database), mebibytes(r.RSS))
	}
	return s.form.show(con, rows, &table)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func ratio(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", x)
}

func micros(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond))
}

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)/(1<<20))
}
