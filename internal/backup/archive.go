package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

const (
	manifestName = "backup.json"
	format       = 1
	// maxManifest is more than any manifest has, in bytes.
	maxManifest = 64 << 10
	// maxTail is more than follows the last entry of a tar archive, in bytes.
	maxTail = 1 << 20
)

// manifest is the first entry of a backup.
type manifest struct {
	Format   int       `json:"format"`
	At       time.Time `json:"created_at"`
	Database int64     `json:"database_version"`
	Keys     bool      `json:"keys"`
}

// archive writes a backup.
type archive struct {
	ctx  context.Context //nolint:containedctx // ends the writing; an archive lives within one call
	file *os.File
	zip  *gzip.Writer
	tar  *tar.Writer
	at   time.Time
}

func newArchive(ctx context.Context, path string, at time.Time) (*archive, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	zip := gzip.NewWriter(f)
	return &archive{ctx: ctx, file: f, zip: zip, tar: tar.NewWriter(zip), at: at}, nil
}

// add adds a file of exactly size bytes.
func (a *archive) add(name string, size int64, from io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.at, Format: tar.FormatPAX}
	if err := a.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if _, err := io.CopyN(a.tar, untilDone{a.ctx, from}, size); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// close ends the archive; without an error it is on disk.
func (a *archive) close() error {
	return errors.Join(a.tar.Close(), a.zip.Close(), a.file.Sync(), a.file.Close())
}

// untilDone reads until the context ends.
type untilDone struct {
	ctx context.Context //nolint:containedctx // of one copy
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// unpack writes what is in a backup below root, and returns its manifest. Whatever is
// no backup that [Create] wrote is [ErrRefused], links and foreign paths among it.
func unpack(ctx context.Context, from io.Reader, root *os.Root) (m manifest, logFiles int, err error) {
	zip, err := gzip.NewReader(untilDone{ctx, from})
	if err != nil {
		return m, 0, noBackup(ctx, err)
	}
	in := tar.NewReader(zip)
	if m, err = readManifest(in); err != nil {
		return m, 0, noBackup(ctx, err)
	}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, 0, noBackup(ctx, err)
		}
		if err := checkEntry(header); err != nil {
			return m, 0, noBackup(ctx, err)
		}
		if strings.HasPrefix(header.Name, server.LogsDir+"/") {
			logFiles++
		}
		if err := writeEntry(root, header.Name, in); err != nil {
			return m, 0, noBackup(ctx, err)
		}
	}
	// What follows the last entry holds the sum over all.
	switch _, err := io.CopyN(io.Discard, zip, maxTail); {
	case err == nil:
		return m, 0, noBackup(ctx, errors.New("something follows it"))
	case !errors.Is(err, io.EOF):
		return m, 0, noBackup(ctx, err)
	}
	return m, logFiles, nil
}

// noBackup refuses an archive, unless the disk or the context is at fault.
func noBackup(ctx context.Context, err error) error {
	var disk *os.PathError
	if ctx.Err() != nil || errors.As(err, &disk) && !errors.Is(err, os.ErrExist) {
		return err
	}
	return fmt.Errorf("%w: it is no backup, or a damaged one: %w", ErrRefused, err)
}

func readManifest(in *tar.Reader) (m manifest, err error) {
	header, err := in.Next()
	if err != nil {
		return m, err
	}
	if header.Name != manifestName || header.Typeflag != tar.TypeReg {
		return m, fmt.Errorf("its first entry is %q", header.Name)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestName, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("its format is %d, and this program knows %d", m.Format, format)
	}
	return m, nil
}

// checkEntry lets through what Create writes.
func checkEntry(header *tar.Header) error {
	name := header.Name
	if header.Typeflag != tar.TypeReg {
		return fmt.Errorf("entry %q is no plain file", name)
	}
	switch name {
	case store.DatabaseFile, server.KeyFile, server.SecretsFile:
		return nil
	}
	if !strings.HasPrefix(name, server.LogsDir+"/") || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("entry %q does not belong into a data directory", name)
	}
	return nil
}

// writeEntry writes a file that is new, and its directories.
func writeEntry(root *os.Root, name string, from io.Reader) (err error) {
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}
