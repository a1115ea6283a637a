package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A log is a row of segment files in its directory. A segment's name is the
// position, in the whole log, of its first byte.
const segmentSuffix = ".jsonl"

// file is what a segment is written through.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Fd() uintptr
}

// openFile is os.OpenFile with the modes of a log; tests wrap it to make it fail.
func openFile(path string, flag int) (file, error) { return os.OpenFile(path, flag, 0o600) }

func segmentName(base int64) string { return fmt.Sprintf("%020d%s", base, segmentSuffix) }

// baseOf returns the base that a segment's name tells; false: it is none.
func baseOf(name string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, ok && err == nil && segmentName(base) == name
}

// listSegments returns the bases of the segments in dir, ascending; none if there
// is no such directory.
func listSegments(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		if base, ok := baseOf(e.Name()); ok {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

func segmentSize(dir string, base int64) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, segmentName(base)))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// makeDir creates root/rel, synced up to the root: a file in a directory whose
// entry is lost is lost too.
func makeDir(root, rel string) error {
	dir := root
	for _, name := range strings.Split(rel, string(filepath.Separator)) {
		parent := dir
		dir = filepath.Join(dir, name)
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			err = nil // perhaps made by someone who died before syncing it
		}
		if err != nil {
			return err
		}
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

const (
	minChunk = 64 << 10
	maxChunk = 1 << 20
)

// segments is the readable part of a log: its files up to the position end.
type segments struct {
	dir   string
	bases []int64
	end   int64
}

// limit returns where segment i ends.
func (s *segments) limit(i int) int64 {
	if i+1 < len(s.bases) {
		return s.bases[i+1]
	}
	return s.end
}

// chunk returns whole lines from the first record at or after pos, and the
// position where they begin. No bytes mean that there are none. size is how much
// to read at once; more is read only for a longer line.
func (s *segments) chunk(pos int64, size int) ([]byte, int64, error) {
	for i := range s.bases {
		if pos >= s.limit(i) {
			continue
		}
		pos = max(pos, s.bases[i])
		raw, start, err := s.within(i, pos, size)
		if err != nil || len(raw) > 0 {
			return raw, start, err
		}
		pos = s.limit(i) // a torn rest
	}
	return nil, pos, nil
}

// within is chunk for one segment.
func (s *segments) within(i int, pos int64, size int) ([]byte, int64, error) {
	f, err := os.Open(filepath.Join(s.dir, segmentName(s.bases[i])))
	if err != nil {
		return nil, pos, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	from := max(pos-1, s.bases[i])
	for {
		buf := make([]byte, min(int64(size)+1, s.limit(i)-from))
		n, err := f.ReadAt(buf, from-s.bases[i])
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, pos, err
		}
		raw, start := buf[:n], from
		if from < pos { // pos begins a record if the byte before it ends one; else go to the next
			skip := bytes.IndexByte(raw, '\n') + 1
			if skip == 0 {
				skip = n
			}
			raw, start = raw[skip:], from+int64(skip)
		}
		if last := bytes.LastIndexByte(raw, '\n'); last >= 0 {
			return raw[:last+1], start, nil
		}
		if from+int64(n) >= s.limit(i) || errors.Is(err, io.EOF) {
			return nil, start, nil
		}
		size *= 2
	}
}

// each calls fn with every whole line from pos on, without its newline, and the
// position after it, until fn returns false.
func (s *segments) each(pos int64, fn func(line []byte, next int64) bool) error {
	for {
		raw, start, err := s.chunk(pos, maxChunk)
		if err != nil || len(raw) == 0 {
			return err
		}
		pos = start
		for len(raw) > 0 {
			n := bytes.IndexByte(raw, '\n') + 1
			pos += int64(n)
			if !fn(raw[:n-1], pos) {
				return nil
			}
			raw = raw[n:]
		}
	}
}
