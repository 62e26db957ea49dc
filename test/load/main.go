// Command load makes audit events at a known rate: it opens files of a watched
// directory, one event an open, and says how many it made.
//
// The file name carries a sequence: event n opens DIR/f000000 + n modulo
// -files, so a reader can see which events of a run are missing. The work of
// one event is two raw system calls; names are built once.
//
// The names and the format of the last line are shared with test/lab.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slice is the pacing step: the events due in it are made in one burst. A
// shorter step costs more wake-ups than the opens themselves.
const slice = time.Millisecond

type options struct {
	dir      string
	rate     int           // events a second; 0 is as fast as the kernel lets us
	duration time.Duration // how long to run
	count    int           // stop after so many events, 0 for no limit
	files    int           // how many names the sequence runs through
	auid     int           // login uid to take, negative to keep the inherited one
}

func init() {
	// The login uid belongs to the thread that sets it, and a process may only
	// set its own: main must stay on the main thread.
	runtime.LockOSThread()
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "directory to open files in (must exist)")
	flag.IntVar(&o.rate, "rate", 0, "events a second, 0 for as many as possible")
	flag.DurationVar(&o.duration, "for", time.Second, "how long to run")
	flag.IntVar(&o.count, "count", 0, "stop after so many events, 0 for no limit")
	flag.IntVar(&o.files, "files", 1000, "number of file names the sequence uses")
	flag.IntVar(&o.auid, "auid", -1, "login uid to run under, -1 for the inherited one")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "load: %v\n", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.dir == "" || o.files < 1 || o.rate < 0 {
		return fmt.Errorf("want -dir, -files of at least 1 and a -rate that is not negative")
	}
	names, err := createFiles(o.dir, o.files)
	if err != nil {
		return err
	}
	// After the files are there: rules that watch this login uid see the opens
	// of the loop and nothing else.
	if o.auid >= 0 {
		if err := os.WriteFile("/proc/self/loginuid", []byte(strconv.Itoa(o.auid)), 0); err != nil {
			return fmt.Errorf("set login uid %d: %w (needs an unset login uid or CAP_AUDIT_CONTROL)", o.auid, err)
		}
	}
	start := time.Now()
	made, err := loop(o, names, start)
	// Printed also after an error: what was made, was made.
	fmt.Printf("made %d elapsed %d\n", made, time.Since(start).Nanoseconds())
	return err
}

// createFiles makes the files beforehand, so that each open is a single PATH
// record and no file is created under load.
func createFiles(dir string, n int) ([][]byte, error) {
	names := make([][]byte, n)
	for i := range names {
		name := fmt.Sprintf("%s/f%06d", dir, i)
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("create load file: %w", err)
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("close load file: %w", err)
		}
		names[i] = append([]byte(name), 0)
	}
	return names, nil
}

func loop(o options, names [][]byte, start time.Time) (made int, err error) {
	limit := o.count
	if limit <= 0 {
		limit = int(^uint(0) >> 1)
	}
	next := 0

	for {
		elapsed := time.Since(start)
		if elapsed >= o.duration || made >= limit {
			return made, nil
		}
		due := made + 64 // unpaced: look at the clock now and then
		if o.rate > 0 {
			due = int(float64(o.rate) * (elapsed + slice).Seconds())
		}
		due = min(due, limit)

		for made < due {
			if err := touch(names[next]); err != nil {
				return made, fmt.Errorf("open %s: %w", names[next][:len(names[next])-1], err)
			}
			made++
			if next++; next == len(names) {
				next = 0
			}
		}
		if o.rate > 0 {
			pause(start.Add(time.Duration(float64(made) / float64(o.rate) * float64(time.Second))))
		}
	}
}

// touch opens and closes one file; name ends in a NUL.
func touch(name []byte) error {
	const flags = unix.O_CREAT | unix.O_WRONLY | unix.O_CLOEXEC
	cwd := unix.AT_FDCWD // a variable, because the constant is negative
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(cwd),
			uintptr(unsafe.Pointer(&name[0])), flags, 0o600, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		return nil
	}
}

// pause sleeps on this thread; time.Sleep would hand over to another one and
// back, which costs more than the burst.
func pause(until time.Time) {
	d := time.Until(until)
	if d <= 0 {
		return
	}
	ts := unix.NsecToTimespec(d.Nanoseconds())
	// Cut short by a signal is fine: the caller looks at the clock.
	_ = unix.Nanosleep(&ts, nil)
}
