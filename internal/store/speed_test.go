package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// benchCallers is how many call at the same time, for each processor.
const benchCallers = 16

// BenchmarkAmongOthers has many attempts do at the same time what agents do all the time.
// Beside the time it tells the processor time of this process, and how many items a
// write took.
func BenchmarkAmongOthers(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres"} {
		s, ids := benchStore(b, places[name](b))
		value := xcom.Entry{Value: make([]byte, 1<<10), CreatedAt: time.Now()}
		s.specs = newSpecs(0, 0)
		until := time.Now().Add(time.Hour)
		source := xcom.Key{TenantID: "a", DagID: "d", RunID: "crowd", TaskID: ids[0].TaskID, Name: "k"}
		if err := s.PutXCom(as("a"), ids[0].Attempt(), "k", value, until); err != nil {
			b.Fatal(err)
		}
		for _, op := range []struct {
			name string
			do   func(context.Context, auth.AgentIdentity, int) error
		}{
			{"beat", func(ctx context.Context, id auth.AgentIdentity, _ int) error { return s.RecordHeartbeat(ctx, id) }},
			{"report", func(ctx context.Context, id auth.AgentIdentity, round int) error {
				return s.ReportState(ctx, id, []domain.TaskState{domain.TaskStateRunning, domain.TaskStateSuccess}[round%2], 0, "")
			}},
			{"push", func(ctx context.Context, id auth.AgentIdentity, _ int) error {
				return s.PutXCom(ctx, id.Attempt(), "k", value, until)
			}},
			{"spec", func(ctx context.Context, id auth.AgentIdentity, _ int) error { // as of another server: each is read
				_, err := s.TaskSpec(ctx, id)
				return err
			}},
			{"fetch", func(ctx context.Context, id auth.AgentIdentity, _ int) error {
				by := id.Attempt()
				_, err := s.GetXCom(ctx, source, &by, time.Now())
				return err
			}},
		} {
			b.Run(name+"/"+op.name, func(b *testing.B) { benchOp(b, s, ids, op.do) })
		}
	}
}

func benchStore(b *testing.B, place Config) (*Store, []auth.AgentIdentity) {
	s, err := Open(context.Background(), place)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	run := domain.RunKey{DagID: "d", RunID: "crowd"}
	def := domain.NewRun{RunKey: run}
	for i := range 1000 {
		def.Tasks = append(def.Tasks, domain.TaskDefinition{TaskID: fmt.Sprint("task-", i)})
	}
	if _, _, err := s.CreateRun(as("a"), def); err != nil {
		b.Fatal(err)
	}
	var ids []auth.AgentIdentity
	for _, task := range def.Tasks {
		a, err := s.LaunchAttempt(as("a"), domain.TaskKey{RunKey: run, TaskID: task.TaskID}, domain.NewAttempt{Try: 1})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, auth.IdentityOf(a.Ref))
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return s, ids
}

func benchOp(b *testing.B, s *Store, ids []auth.AgentIdentity, do func(context.Context, auth.AgentIdentity, int) error) {
	if _, err := s.durable.db.Exec("UPDATE attempts SET state = 'queued', ended_at = NULL, started_at = NULL, settled_by_report = FALSE"); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var next atomic.Int64
	ctx := as("a")
	before, base := processorTime(), backendTime(b, s)
	b.SetParallelism(benchCallers)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			n := int(next.Add(1)) - 1
			if err := do(ctx, ids[n%len(ids)], n/len(ids)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64((backendTime(b, s)-base).Nanoseconds())/float64(b.N), "db-ns/op")
}

func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// backendTime is the processor time of the processes that serve the database; 0: none do.
func backendTime(b *testing.B, s *Store) (total time.Duration) {
	if !s.postgres {
		return 0
	}
	rows, err := s.durable.db.Query("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			b.Fatal(err)
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // of another user, or gone
		}
		var user, system int64
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		_, err1 := fmt.Sscan(fields[11], &user)
		_, err2 := fmt.Sscan(fields[12], &system)
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}
