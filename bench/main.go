// Command bench measures the relay beside its peers, in one run on one machine,
// and prints one table: the cost of a record in bulk, the cost of live events
// under a real auditd, to the audited program too, latency, memory, and start
// time. Where the design names a goal the table says whether it holds. Absolute
// figures drift from run to run; only those of one run can be compared.
//
// It needs root, auditd, socat and laurel; what is missing is left out by
// name. It takes the audit daemon's place while it runs, under the lock of
// test/lab, and puts everything back.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"audisp-relay/host/broker"
	"audisp-relay/test/lab"
)

type options struct {
	only     string
	relay    string // the relay's binary, "" when only peers are measured
	laurel   string // a directory that has one, "" for the installed one
	sections string
	records  int
	rounds   int
	seconds  int
	json     bool
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "measure only the `side` \"relay\" or \"peers\"")
	flag.StringVar(&o.relay, "relay", "", "`binary` of the relay to measure, to compare builds (default: it is built)")
	flag.StringVar(&o.laurel, "laurel", "", "`directory` with another laurel and its libraries, as bench/laurel.sh makes it (default: the installed one)")
	flag.StringVar(&o.sections, "sections", "bulk,events,latency,live,cost,live-latency,memory,start", "what to measure")
	flag.IntVar(&o.records, "records", 400_000, "records of the bulk stream")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of the bulk feed, of which the best one counts, and of cost, of which the median does")
	flag.IntVar(&o.seconds, "seconds", 10, "length of a live run")
	flag.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flag.Parse()
	if flag.NArg() > 0 || (o.only != "" && o.only != "relay" && o.only != "peers") {
		flag.Usage()
		os.Exit(2)
	}

	b := &bench{options: o}
	err := inScope("bench", func(t *scope) { b.run(t) })
	if o.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if encErr := enc.Encode(b.rows); encErr != nil {
			fmt.Fprintf(os.Stderr, "bench: %v\n", encErr)
			os.Exit(1)
		}
	} else {
		printTable(os.Stdout, b.rows)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// bench is one run: what it works with and what it found.
type bench struct {
	options
	dir  string // all files of the run
	rows []row
}

func (b *bench) run(t *scope) {
	if os.Geteuid() != 0 {
		t.Fatalf("run it as root: the peers are daemons and auditd is the load")
	}
	dir, err := os.MkdirTemp("", "bench")
	lab.Check(t, err, "make a directory")
	t.Cleanup(func() { os.RemoveAll(dir) })
	// A worker reaches what is in it. In the directory of a case it does not, so that the relay runs in one process, unless the case
	// is about two: CPU and memory are mostly measured of one.
	lab.Check(t, os.Chmod(dir, 0o711), "open the directory")
	b.dir = dir
	switch {
	case b.only == "peers":
		b.relay = ""
	case b.relay == "":
		b.relay = b.build(t)
	}

	for _, s := range []struct {
		name string
		run  func(*scope)
	}{{"bulk", b.bulk}, {"events", b.events}, {"latency", b.latency}, {"live", b.live}, {"cost", b.cost}, {"live-latency", b.liveLatency}, {"memory", b.memory}, {"start", b.startTime}} {
		if slices.Contains(strings.Split(b.sections, ","), s.name) {
			s.run(t)
		}
	}
}

// build makes the relay as make build does, and returns its path.
func (b *bench) build(t *scope) string {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	lab.Check(t, err, "find the module: run the bench inside the repository")
	path := filepath.Join(b.dir, "audisp-relay")
	profile := filepath.Join(strings.TrimSpace(string(root)), "packaging", "relay.pgo")
	flags := "-s -w -X audisp-relay/host/broker.User=" + broker.User
	build := exec.Command("go", "build", "-trimpath", "-pgo="+profile, "-ldflags", flags, "-o", path, "audisp-relay/cmd/audisp-relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the relay: %v\n%s", err, out)
	}
	return path
}

// measure runs one case in a scope of its own. A case that cannot be measured
// is a row that says why; it must not take the others with it.
func (b *bench) measure(what, who string, fn func(t *scope)) {
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", what, who)
	if err := inScope(what+": "+who, fn); err != nil {
		b.add(row{What: what, Who: who, Detail: "not measured: " + err.Error()})
	}
}

func (b *bench) add(r row) { b.rows = append(b.rows, r) }

// leavesOut reports whether -only leaves out a case, which is the relay's or a peer's.
func (b *bench) leavesOut(relay bool) bool { return b.only != "" && relay != (b.only == "relay") }
