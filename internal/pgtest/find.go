package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// errNone tells what to do where there is no PostgreSQL.
var errNone = errors.New("no PostgreSQL server binaries are found, in PATH, by pg_config or in /usr/lib/postgresql: " +
	"install them, on Debian and Ubuntu with `apt-get install postgresql`, or name a server whose user may create databases in " + Variable)

// binaries returns the directory of the newest server binaries.
func binaries() (string, error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	packaged, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(packaged, func(a, b string) int { return version(b) - version(a) })
	return complete(append(dirs, packaged...))
}

// complete returns the first directory that has all that a server needs.
func complete(dirs []string) (string, error) {
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "postgres")) && executable(filepath.Join(dir, "initdb")) {
			return dir, nil
		}
	}
	return "", errNone
}

// version is the number in the path of packaged binaries.
func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// runAs returns whom a server runs as; nil: this user.
func runAs() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody: run the tests as another user")
}

// longestDir leaves room for the name of a socket, whose path may have 107 bytes.
const longestDir = 80

// makeDir makes a directory for a server, which its user alone may enter.
func makeDir(as *syscall.Credential) (string, error) {
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if len(base) > longestDir || as != nil && !open(base) {
			continue
		}
		dir, err := os.MkdirTemp(base, "leoflow-pg-") // mode 0700
		if err != nil {
			continue
		}
		if as == nil {
			return dir, nil
		}
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
		return dir, nil
	}
	return "", fmt.Errorf("no directory for PostgreSQL: TMPDIR is too long a path, or its user may not enter it, and neither /tmp nor /var/tmp will do")
}

// open reports whether everybody may enter a directory and those above it.
func open(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return true
		}
		dir = up
	}
}
