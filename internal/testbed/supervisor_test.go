package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// parentEnv has this program be a supervisor of the data directory that it names.
const parentEnv = "LEOFLOW_TESTBED_TEST_PARENT"

func TestMain(m *testing.M) {
	MaybeChild()
	if dir := os.Getenv(parentEnv); dir != "" {
		s, err := NewSupervisor(context.Background(), Config{DataDir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.Addr())
		_ = s.Serve(context.Background())
	}
	os.Exit(m.Run())
}

// TestAfterARestartAllIsAsItWas ends the server's process both ways: what was
// acknowledged and what was set is there again.
func TestAfterARestartAllIsAsItWas(t *testing.T) {
	for _, fault := range []conformancev1.Fault{restarts, shutsDown} {
		t.Run(fault.String(), func(t *testing.T) {
			b := put(t, supervised)
			b.variable("K", "v")
			a := b.attempt("r", running)
			stream, line := a.logs("one"), a.awaited("two")
			b.advance(time.Hour)
			b.silence(10 * time.Second)
			asked := a.beat().GetBeatInterval().AsDuration()
			for _, f := range []conformancev1.Fault{unaudited, noSecrets} {
				b.set(f, true)
			}
			b.set(noSecrets, false)
			b.set(fault, true)
			if err := drained(stream); status.Code(err) != codes.Unavailable {
				t.Errorf("the stream ended with %v", err)
			}
			got := a.beat()
			if ahead := time.Until(got.GetServerTime().AsTime()); ahead < 30*time.Minute {
				t.Errorf("the clock is %v ahead", ahead)
			}
			if got.GetShouldTerminate() || got.GetBeatInterval().AsDuration() != asked {
				t.Errorf("before, agents were to beat every %v: %v", asked, got)
			}
			if _, err := a.variables(); status.Code(err) != codes.Unavailable {
				t.Errorf("the fault is gone: %v", err)
			}
			b.set(unaudited, false)
			if got, err := a.variables(); err != nil || got.GetVariables()["K"] != "v" {
				t.Errorf("%v, %v", got, err)
			}
			b.advance(0)
			a.logs("two")
			if err := <-line; err != nil {
				t.Errorf("whoever watches looks again: %v", err)
			}
			log := must[*conformancev1.GetLogResponse](t)(b.GetLog(b.ctx, &conformancev1.GetLogRequest{Attempt: a.ref}))
			if len(log.GetRecords()) < 2 || log.GetRecords()[0].GetMessage() != "one" {
				t.Errorf("LOG-1: %v", log)
			}
		})
	}
}

func (b *bench) advance(d time.Duration) {
	b.t.Helper()
	if _, err := b.AdvanceClock(b.ctx, &conformancev1.AdvanceClockRequest{Ahead: durationpb.New(d)}); err != nil {
		b.t.Fatal(err)
	}
}

// TestAServerIsKilledUnderAFault: what a fault has done to the database is there after
// the kill, and is undone when the fault ends.
func TestAServerIsKilledUnderAFault(t *testing.T) {
	b := put(t, supervised)
	faults := must[*conformancev1.GetCapabilitiesResponse](t)(b.GetCapabilities(b.ctx, &conformancev1.GetCapabilitiesRequest{})).GetFaults()
	if !slices.Equal(faults, append(slices.Clone(bedFaults), restarts)) {
		t.Errorf("offered: %v", faults)
	}
	a := b.attempt("r", running)
	for _, fault := range []conformancev1.Fault{storeDown, panics, storeHangs} {
		if got := a.stored().GetState(); got != running {
			t.Errorf("stored before %s: %v", fault, got)
		}
		b.set(fault, true)
		b.set(restarts, true)
		b.set(restarts, false) // it ended by itself
		ctx, cancel := context.WithTimeout(a.ctx, time.Second)
		_, err := b.agents.ReportState(ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS})
		cancel()
		if err == nil {
			t.Errorf("%s is gone", fault)
		}
		b.set(fault, false)
		if err := a.spec(); err != nil {
			t.Errorf("after %s: %v", fault, err)
		}
	}
	// What was on its way while the store hung may be kept once it no longer does: that
	// fault is the last, and nothing is said of what is stored after it.
}

func TestAFixtureThatIsRefusedIsRefusedTheSame(t *testing.T) {
	b := put(t, supervised)
	_, err := b.GetAttempt(b.ctx, &conformancev1.GetAttemptRequest{Attempt: &conformancev1.AttemptRef{TenantId: "acme"}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("GetAttempt: %v", err)
	}
	_, err = b.SetFault(b.ctx, &conformancev1.SetFaultRequest{Fault: 99, Active: true})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("SetFault: %v", err)
	}
}

// TestAServerThatEndsByItselfEndsItsSupervisor: nobody is to judge what is not there.
func TestAServerThatEndsByItselfEndsItsSupervisor(t *testing.T) {
	s, err := NewSupervisor(t.Context(), Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.child.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("serve: %v", err)
	}
}

func TestASupervisorRefusesWhatABedRefuses(t *testing.T) {
	for _, cfg := range []Config{
		{Addr: "0.0.0.0:0", DataDir: t.TempDir()},
		{FixturesAddr: "0.0.0.0:0", DataDir: t.TempDir()},
		{DataDir: "/dev/null/none", Stderr: &journal{}},
	} {
		if s, err := NewSupervisor(t.Context(), cfg); err == nil || s != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestAServerDiesWithItsSupervisor: whatever kills the parent, nobody goes on to serve
// what anybody can do anything to.
func TestAServerDiesWithItsSupervisor(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimSpace(addr))
	if err != nil {
		t.Fatalf("%q: %v", addr, err)
	}
	defer conn.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	var read [64]byte
	for err == nil {
		_, err = conn.Read(read[:])
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server lives on")
	}
	// What a process that dies has open is closed one after the other.
	for until := time.Now().Add(deadline); !errors.Is(err, syscall.ECONNREFUSED); {
		if time.Now().After(until) {
			t.Fatalf("somebody listens: %v", err)
		}
		var again net.Conn
		if again, err = new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimSpace(addr)); err == nil {
			_ = again.Close()
		}
	}
}
