package bench

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func TestLoopMakesEachCallOnce(t *testing.T) {
	var made [40]atomic.Int64
	got, err := Loop(t.Context(), 4, 10, time.Hour, func(_ context.Context, n int) error {
		if n >= len(made) {
			return ErrUsedUp
		}
		made[n].Add(1)
		return nil
	})
	if err != nil || got.Calls != 30 {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range made {
		if want := int64(min(1, n/10)); made[n].Load() != want {
			t.Errorf("call %d was made %d times", n, made[n].Load())
		}
	}
	broken := errors.New("broken")
	if _, err := Loop(t.Context(), 2, 0, time.Hour, func(context.Context, int) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestPercentilesAreOfAllWorkers(t *testing.T) {
	var r Result
	took := make([][]time.Duration, 2)
	for i := range 200 {
		took[i%2] = append(took[i%2], time.Duration(200-i))
	}
	r.sum(took)
	if r.Calls != 200 || r.P50 != 101 || r.P99 != 199 {
		t.Errorf("%+v", r)
	}
	var none Result
	if none.sum(nil); none.Calls != 0 || none.P99 != 0 {
		t.Errorf("%+v", none)
	}
}

func TestMedianOfEachRatioByItself(t *testing.T) {
	got := MedianRatios([]Ratios{{0.1, 9, 3}, {0.9, 1, 2}, {0.5, 5, 100}})
	if want := (Ratios{0.5, 5, 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestABrokenBoundIsNamedWithBothNumbers(t *testing.T) {
	b := Bound{Op: Push, Server: "postgres", OfBare: 0.4, OfDirect: 2, CPU: 9}
	for _, c := range []struct {
		got  Ratios
		want []string
	}{
		{Ratios{0.4, 2, 9}, nil},
		{Ratios{0.39, 2, 9}, []string{"push on postgres: 0.39 of", "bare", "at least 0.40"}},
		{Ratios{0.4, 1.5, 9}, []string{"push on postgres: 1.50 of", "direct", "at least 2.00"}},
		{Ratios{0.4, 2, 9.1}, []string{"push on postgres: 9.10 of", "processor time", "at most 9.00"}},
		{Ratios{0.4, 2, 0}, []string{"push on postgres", "--for"}},
		{Ratios{0, 0, 10}, []string{"0.40", "2.00", "9.00"}},
	} {
		err := b.Broken(c.got)
		if (err != nil) != (c.want != nil) {
			t.Errorf("%+v: %v", c.got, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q in it", c.got, err, want)
			}
		}
	}
	if err := (Bound{Op: Spec, Server: "sqlite", OfBare: 0.1}).Broken(Ratios{OfBare: 0.1}); err != nil {
		t.Errorf("what has no bound: %v", err)
	}
}

func TestWhatAProcessSpent(t *testing.T) {
	w := Watch(t.Context(), os.Getpid(), time.Millisecond)
	before, err := SpentBy(os.Getpid()) // no less than what it begins with
	if err != nil || before.RSS < 1<<20 {
		t.Fatalf("%+v, %v", before, err)
	}
	for {
		now, err := SpentBy(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU >= before.CPU+30*time.Millisecond {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no processor time was spent")
		}
	}
	got, err := w.End()
	if err != nil || got.CPU < 10*time.Millisecond || got.RSSMean < 1<<20 || got.RSSPeak < got.RSSMean {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestWhatEndedWasSpentAsWell: the backends of a database come and go.
func TestWhatEndedWasSpentAsWell(t *testing.T) {
	before, err := SpentBy(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		child := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
		if err := child.Run(); err != nil {
			t.Fatal(err)
		}
		if spent := child.ProcessState.UserTime(); spent > 50*time.Millisecond {
			break
		}
	}
	after, err := SpentBy(os.Getpid())
	if err != nil || after.CPU < before.CPU+40*time.Millisecond {
		t.Errorf("%v of a child that ended are %v: %v", 50*time.Millisecond, after.CPU-before.CPU, err)
	}
}

func TestLooksAreReadOffThePage(t *testing.T) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: reaperRead})
	registry := prometheus.NewRegistry()
	registry.MustRegister(h)
	h.Observe(100) // before
	page := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer http.DefaultClient.CloseIdleConnections()
	defer page.Close()
	looks, err := WatchLooks(t.Context(), strings.TrimPrefix(page.URL, "http://"), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}
	for _, d := range want {
		h.Observe(d.Seconds())
		if got, err := looks.Next(t.Context()); err != nil || got != d {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if got, err := looks.End(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAPageWithoutTheMetricIsTold(t *testing.T) {
	page := httptest.NewServer(promhttp.HandlerFor(prometheus.NewRegistry(), promhttp.HandlerOpts{}))
	defer http.DefaultClient.CloseIdleConnections()
	defer page.Close()
	if _, err := WatchLooks(t.Context(), strings.TrimPrefix(page.URL, "http://"), time.Second); err == nil || !strings.Contains(err.Error(), reaperRead) {
		t.Error(err)
	}
}

func TestTheMachineIsTold(t *testing.T) {
	if got := Machine(); !strings.Contains(got, "cores") || !strings.Contains(got, "go1") || strings.Contains(got, "\n") {
		t.Errorf("%q", got)
	}
}
