// Command shim stands between auditd and a plugin and spoils the stream: some
// records it drops, some it cuts, some it holds back so that they come late
// and out of order. auditd starts it as its plugin, with one argument, the file
// of a Plan; it starts the real plugin as its child, with a socket pair as
// stdin as auditd does, and passes signals on. It reads text lines (format =
// string).
//
// What it did is in Plan.Report, as Counts in JSON, written again twice a
// second and at the end.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Plan says what to run and how much to spoil. Shares are of 1.
type Plan struct {
	Argv   []string      // the plugin, by absolute path
	Report string        // where Counts are written
	Seed   uint64        // the same stream and seed give the same drops and cuts
	Drop   float64       // share of records that never arrive
	Cut    float64       // share cut at some byte; half of these keep their newline
	Delay  float64       // share that comes late
	Late   time.Duration // by at most so much
}

// Counts of what the shim did. Each record is dropped, cut, delayed or passed
// on as it is.
type Counts struct {
	Records int // lines that came from auditd
	Dropped int
	Cut     int // without its newline the next one is spoilt too
	Joined  int // of Cut, those without
	Delayed int
	Error   string `json:",omitempty"` // why it ended before the stream did
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "shim: want one argument, the file of a plan")
		os.Exit(2)
	}
	var plan Plan
	data, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err == nil {
		err = run(plan)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "shim: %v\n", err)
		os.Exit(1)
	}
}

func run(plan Plan) error {
	child, out, err := start(plan.Argv)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = child.Process.Signal(s) // it may have ended
		}
	}()
	f := newFaults(plan)
	err = f.pump(out, plan.Report)
	if err != nil {
		f.counts.Error = err.Error()
	}
	// Each step is taken, whatever became of the one before. The child ends with its stream.
	return cmp.Or(err, f.report(plan.Report), out.Close(), child.Wait())
}

// start runs the plugin on a socket pair and returns our end of it.
func start(argv []string) (*exec.Cmd, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "plugin"), os.NewFile(uintptr(fds[1]), "shim")
	defer theirs.Close()
	if len(argv) == 0 {
		return nil, nil, errors.New("the plan names no plugin")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Env = theirs, []string{}
	return cmd, ours, cmd.Start()
}

// pump passes stdin on until its end.
func (f *faults) pump(out io.Writer, report string) error {
	// Non-blocking, so that it can wait for a record and for a delay at once.
	if err := unix.SetNonblock(0, true); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	in := os.NewFile(0, "stdin")
	buf := make([]byte, 256<<10)
	var reported time.Time

	for {
		_ = in.SetReadDeadline(f.next(time.Now().Add(500 * time.Millisecond)))
		n, err := in.Read(buf)
		now := time.Now()
		f.feed(buf[:n], now)
		if err == io.EOF {
			f.end()
		}
		if _, werr := out.Write(f.take()); werr != nil {
			return fmt.Errorf("write to the plugin: %w", werr)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("read from auditd: %w", err)
		}
		if now.Sub(reported) > 500*time.Millisecond {
			if err := f.report(report); err != nil {
				return err
			}
			reported = now
		}
	}
}

// report replaces the file, so that a reader never sees half of it.
func (f *faults) report(path string) error {
	data, err := json.Marshal(f.counts)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return err
}
