package store

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// memory is a directory that takes nothing to the disk.
const memory = "/dev/shm"

// room is how many bytes tests may want there.
const room = 2 << 30

// hasten has the tests keep their files in memory, where the machine has such a place and
// nobody named another: most of their time went into waiting for the disk, and none can
// tell whether data have reached that. Under the race detector they play fewer random
// courses than without it, unless somebody says how many.
func hasten() {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= room {
		if err := os.Setenv("TMPDIR", memory); err != nil {
			fmt.Println(err)
		}
	}
	for _, arg := range os.Args {
		if strings.Contains(arg, "rapid.checks") {
			return
		}
	}
	if err := flag.Set("rapid.checks", fmt.Sprint(checks)); err != nil {
		fmt.Println(err)
	}
}
