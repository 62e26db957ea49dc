package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain also is the other processes that the tests need.
func TestMain(m *testing.M) {
	switch os.Getenv("STATE_TEST") {
	case "save":
		saveForEver(os.Getenv("STATE_DIR"))
	case "disk":
		onSmallDisk(os.Getenv("STATE_DIR"))
	default:
		goleak.VerifyTestMain(m)
	}
}

// fatal ends a helper process.
func fatal(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// helper runs this test's binary as another process.
func helper(what, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STATE_TEST="+what, "STATE_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// saveForEver saves states with growing numbers until it is killed; it says
// when it has saved the first.
func saveForEver(dir string) {
	d, err := Open(dir)
	fatal(err)
	s, err := d.Load()
	if !errors.Is(err, fs.ErrNotExist) {
		fatal(err)
	}
	first := s.Consumers["a"].Number + 1
	for n := first; ; n++ {
		fatal(d.Save(numbered(n)))
		if n == first {
			fmt.Println("saved")
		}
	}
}

// numbered is a state in which every consumer is at n, larger than a page.
func numbered(n uint64) State {
	s := State{Consumers: map[string]Consumer{}}
	for i := range 50 {
		name := "a"
		if i > 0 {
			name = fmt.Sprint("consumer-", i)
		}
		s.Consumers[name] = Consumer{Position: Position{Number: n}, Totals: map[string]uint64{"received": n, "delivered": n}}
	}
	return s
}

// onSmallDisk is in a mount namespace of its own, where it can make a small
// file system, fill it and mount it read-only.
func onSmallDisk(root string) {
	dir, readOnly := root+"/small", root+"/ro"
	fatal(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=700"))
	d, err := Open(dir)
	fatal(err)
	fatal(d.Save(numbered(1)))

	full, err := os.Create(dir + "/full")
	fatal(err)
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	expect("full disk: save", d.Save(numbered(2)), unix.ENOSPC)
	entries, err := os.ReadDir(dir)
	fatal(err)
	if len(entries) != 3 { // lock, state.json, full
		fatal(fmt.Errorf("left on a full disk: %v", entries))
	}
	s, err := d.Load()
	fatal(err)
	if s.Consumers["a"].Number != 1 {
		fatal(fmt.Errorf("the state before is lost: %+v", s))
	}
	full.Close()
	fatal(os.Remove(dir + "/full"))
	fatal(d.Save(numbered(3)))

	// It is mounted once more, read-only: a mount with files open cannot be made so.
	fatal(unix.Mount(dir, readOnly, "", unix.MS_BIND, ""))
	fatal(unix.Mount("", readOnly, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	d.path = readOnly
	expect("read-only disk: save", d.Save(numbered(4)), unix.EROFS)
	if s, err = d.Load(); err != nil || s.Consumers["a"].Number != 3 {
		fatal(fmt.Errorf("on the read-only disk: %v, %+v", err, s))
	}
	fatal(d.Close())
	_, err = Open(readOnly)
	expect("read-only disk: open", err, unix.EROFS)
	_, err = Open(readOnly + "/not/there")
	expect("read-only disk: make", err, unix.EROFS)
	fmt.Println("done")
}

// expect wants an error of a kind and prints it.
func expect(what string, err error, want syscall.Errno) {
	if pe, ok := errno(err); !ok || pe != want {
		fatal(fmt.Errorf("%s: got %v, want %v", what, err, want))
	}
	fmt.Printf("%s: %v\n", what, err)
}
