package logs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// descriptors counts the process's open files below dir.
func descriptors(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && strings.HasPrefix(target, dir) { // an error: closed since
			n++
		}
	}
	return n
}

func TestLog6DescriptorsAreBounded(t *testing.T) {
	d := testDir(t, Options{SegmentBytes: 2000, QueueLines: 10})
	w := begin(t, d)
	put(t, w, "stdout", 1)
	awaitAck(t, w, "stdout", 1)
	ctx := testContext(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.Read(ctx, testRef, 0, 10); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := int64(2); n <= 300; n++ {
		put(t, w, "stdout", n)
		if got := descriptors(t, d.opts.Root); got > 3 {
			t.Errorf("%d descriptors", got)
			break
		}
	}
	close(stop)
	wg.Wait()
	mustClose(t, w)
	equal(t, 0, descriptors(t, d.opts.Root))
}
