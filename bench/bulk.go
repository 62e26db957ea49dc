package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"audisp-relay/queue/spool"
	"audisp-relay/test/lab"
)

const bulkWhat = "CPU a record, bulk stream"

// bulkRun is a program ready to be fed.
type bulkRun struct {
	argv []string
	// after runs when the program has started and before it is fed.
	after func()
	// delivered counts what its consumer has got, when the program has ended.
	delivered func() int
}

// bulkCase is one line of the bulk table.
type bulkCase struct {
	who   string
	relay bool
	setup func(t *scope, dir string) bulkRun
}

// figure is the best round of a case.
type figure struct {
	cpu, wall time.Duration
	read      time.Duration // until all was read
	rss       int64         // bytes, peak
	delivered int
}

func (b *bench) bulkCases() []bulkCase {
	return []bulkCase{
		{relaySocket, true, b.bulkSocket},
		{relayFile, true, b.bulkFile},
		{relaySyslog, true, b.bulkSyslog},
		{relaySpool, true, b.bulkSpool},
		{stockSyslog, false, b.bulkStockSyslog},
		{laurelName, false, b.bulkLaurel},
	}
}

func (b *bench) bulk(t *scope) {
	c := makeCorpus(t, filepath.Join(b.dir, "corpus"), b.records)
	best := map[string]figure{}
	for range b.rounds { // interleaved: a slow moment of the machine hits all of them
		b.round(bulkWhat, b.bulkCases(), c, func(who string, f figure) { keepBest(best, who, f) })
		b.measure(bulkWhat, catFloor, func(t *scope) { keepBest(best, catFloor, catOnce(t, c)) })
	}
	for _, bc := range append(b.bulkCases(), bulkCase{who: catFloor}) {
		if f, ok := best[bc.who]; ok {
			b.add(bulkRow(bc.who, f, best[stockSyslog], c))
		}
	}
}

// round feeds the stream to each of the cases that are asked for.
func (b *bench) round(what string, cases []bulkCase, c corpus, keep func(who string, f figure)) {
	for _, bc := range cases {
		if b.leavesOut(bc.relay) {
			continue
		}
		b.measure(what, bc.who, func(t *scope) { keep(bc.who, feedOnce(t, bc.setup(t, b.caseDir(t)), c)) })
	}
}

func keepBest(best map[string]figure, who string, f figure) {
	if old, ok := best[who]; !ok || f.cpu < old.cpu {
		best[who] = f
	}
}

func bulkRow(who string, f, syslog figure, c corpus) row {
	perRecord := func(f figure) float64 { return f.cpu.Seconds() * 1e6 / float64(c.records) }
	r := row{What: bulkWhat, Who: who, Value: perRecord(f), Unit: "µs",
		Detail: fmt.Sprintf("CPU %.2f s, wall %.2f s", f.cpu.Seconds(), f.wall.Seconds())}
	if f.rss > 0 {
		r.Detail += fmt.Sprintf(", RSS peak %.1f MiB", mib(f.rss))
	}
	switch who {
	case laurelName:
		r.Detail += fmt.Sprintf(", %d events", f.delivered)
	case catFloor:
	default:
		r.Detail += fmt.Sprintf(", delivered %d of %d", f.delivered, c.records)
	}

	whole := f.delivered == c.records
	switch who {
	case relaySocket, relayFile:
		r = r.goal("≤ 0.35, all delivered", r.Value <= 0.35 && whole)
	case relaySpool:
		rate := float64(c.records) / f.read.Seconds() / 1e6
		r = r.goal("≥ 1.5 M records/s, all stored", rate >= 1.5 && whole)
		r.Detail += fmt.Sprintf(", %.2f M records/s", rate)
	case relaySyslog:
		if syslog.cpu > 0 {
			r = r.goal("≤ 0.6 of audisp-syslog", r.Value <= 0.6*perRecord(syslog) && whole)
			r.Detail += fmt.Sprintf(", %.2f of audisp-syslog", r.Value/perRecord(syslog))
		}
	}
	return r
}

// feedOnce feeds the whole stream to one program as fast as it takes it.
func feedOnce(t *scope, run bulkRun, c corpus) figure {
	c.renew(t)
	child := startChild(t, nil, run.argv...)
	if run.after != nil {
		run.after()
	}
	begin := time.Now()
	child.write(c.path)
	child.awaitRead(60*time.Second, time.Millisecond)
	f := figure{read: time.Since(begin)}
	_, peak, err := lab.RSS(child.pid())
	lab.Check(t, err, "memory")
	f.rss = peak
	f.cpu = child.finish(30 * time.Second)
	f.wall = time.Since(begin)
	f.delivered = run.delivered()
	return f
}

// catOnce is what two copies of the stream cost.
func catOnce(t *scope, c corpus) figure {
	cmd := exec.Command("/bin/sh", "-c", `cat "$1" | cat >/dev/null`, "sh", c.path)
	begin := time.Now()
	lab.Check(t, cmd.Run(), "cat")
	return figure{cpu: usage(cmd), wall: time.Since(begin)}
}

// The relay is fed faster than any auditd can, so it is configured to be lossless and to
// stay off the disk: what is measured is the cost of records that arrive. What the spool
// costs has a row of its own. A loss marker would be counted as a record that was delivered.
const bulkGlobals = "qos = \"lossless\"\nloss_markers = false\nspool.max_size = \"0\""

func (b *bench) bulkSocket(t *scope, dir string) bulkRun {
	tool(t, "socat")
	sock, out := filepath.Join(dir, "s"), filepath.Join(dir, "out")
	conf := b.relayConf(t, dir, bulkGlobals, unixSink("local", sock, `when_idle = "queue"`))
	var reader *lab.Process
	return bulkRun{
		argv:  []string{b.relay, "-c", conf},
		after: func() { reader = lab.Follow(t, sock, out) },
		delivered: func() int {
			select {
			case <-reader.Exited(): // socat ends with its connection
			case <-time.After(30 * time.Second):
				t.Fatalf("socat still waits for data")
			}
			return countLines(t, out)
		},
	}
}

func (b *bench) bulkFile(t *scope, dir string) bulkRun {
	out := filepath.Join(dir, "out")
	conf := b.relayConf(t, dir, bulkGlobals, fmt.Sprintf("[sinks.file]\ntype = \"file\"\npath = %q\nmax_size = \"0\"\n", out))
	return bulkRun{
		argv:      []string{b.relay, "-c", conf},
		delivered: func() int { return countLines(t, out) },
	}
}

// bulkSpool has a consumer that is dead, so that every record goes to the disk.
func (b *bench) bulkSpool(t *scope, dir string) bulkRun {
	conf := b.relayConf(t, dir, "qos = \"lossless\"\nloss_markers = false\nq_depth = 1000\nspool = { max_size = \"4GiB\", sync = \"none\" }",
		fmt.Sprintf("[sinks.dead]\ntype = \"file\"\npath = %q\n", filepath.Join(dir, "absent", "out")))
	return bulkRun{
		argv: []string{b.relay, "-c", conf},
		delivered: func() (n int) {
			view, err := spool.Inspect(filepath.Join(dir, "state", "spool", "dead"))
			lab.Check(t, err, "spool")
			defer view.Close()
			for _, f := range view.Frames {
				n += int(f.Whole)
			}
			return n
		},
	}
}

func (b *bench) bulkSyslog(t *scope, dir string) bulkRun {
	tool(t, "socat")
	sock, out := filepath.Join(dir, "s"), filepath.Join(dir, "out")
	lab.DrainDatagrams(t, sock, out)
	conf := b.relayConf(t, dir, bulkGlobals,
		fmt.Sprintf("[sinks.syslog]\ntype = \"syslog\"\ntransport = \"local\"\naddress = %q\n", sock))
	return bulkRun{
		argv:      []string{b.relay, "-c", conf},
		delivered: func() int { return countDatagrams(t, out) },
	}
}

func (b *bench) bulkStockSyslog(t *scope, dir string) bulkRun {
	tool(t, "socat")
	out := filepath.Join(dir, "out")
	argv := []string{tool(t, "audisp-syslog")}
	lab.DrainDevLog(t, out)
	return bulkRun{
		argv:      argv,
		delivered: func() int { return countDatagrams(t, out) },
	}
}

func (b *bench) bulkLaurel(t *scope, dir string) bulkRun {
	argv := append(b.laurelArgv(t), "-c")
	// It wants a syslog to start.
	lab.DrainDevLog(t, filepath.Join(dir, "syslog"))
	conf, out := laurelConf(t, dir)
	return bulkRun{
		argv:      append(argv, conf),
		delivered: func() int { return countLines(t, out) },
	}
}

func countLines(t *scope, path string) int {
	n, err := lab.CountString(path, "\n")
	lab.Check(t, err, "count what was delivered")
	return n
}

// countDatagrams counts messages of user.info, once socat has written the
// last of them.
func countDatagrams(t *scope, path string) int {
	size := int64(-1)
	for {
		fi, err := os.Stat(path)
		lab.Check(t, err, "count what was delivered")
		if fi.Size() == size {
			break
		}
		size = fi.Size()
		time.Sleep(200 * time.Millisecond)
	}
	n, err := lab.CountString(path, "<14>")
	lab.Check(t, err, "count what was delivered")
	return n
}

// firstRecord is what a program finds on its stdin when only its start or its
// rest matter.
var firstRecord = []byte("type=USER msg=audit(1795298322.144:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='text=first'\n")
