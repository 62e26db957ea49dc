package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/test/lab"
)

// settle is how long a program gets to come to rest after its start.
const settle = 2 * time.Second

// resting is a program in a plain configuration, for memory and start.
type resting struct {
	who   string
	relay bool
	split bool // the relay in two processes, where there is the user for that
	argv  func(t *scope, dir string) []string
}

func (b *bench) restingPrograms() []resting {
	relay := func(t *scope, dir string) []string {
		return []string{b.relay, "-c", b.relayConf(t, dir, "", unixSink("local", filepath.Join(dir, "s"), ""))}
	}
	split := func(t *scope, dir string) []string {
		lab.Check(t, os.Chmod(dir, 0o711), "let the worker's user reach state_dir")
		return relay(t, dir)
	}
	return []resting{
		{"audisp-relay", true, false, relay},
		{"audisp-relay, two processes", true, true, split},
		{stockSyslog, false, false, func(t *scope, dir string) []string { return b.bulkStockSyslog(t, dir).argv }},
		{"laurel", false, false, func(t *scope, dir string) []string { return b.bulkLaurel(t, dir).argv }},
	}
}

func (b *bench) eachResting(what string, fn func(t *scope, p resting, dir string) row) {
	_, _, noUser := broker.Account()
	for _, p := range b.restingPrograms() {
		if b.leavesOut(p.relay) {
			continue
		}
		if p.split && noUser != nil {
			b.add(row{What: what, Who: p.who, Detail: "not measured: " + noUser.Error()})
			continue
		}
		b.measure(what, p.who, func(t *scope) { b.add(fn(t, p, b.caseDir(t))) })
	}
}

// processes are those of a program that has begun. The relay must be as many as are to be measured.
func (p *resting) processes(t *scope, c *child) []int {
	children, err := lab.Children(c.pid())
	lab.Check(t, err, "look for its processes")
	if p.relay && (len(children) == 1) != p.split {
		t.Fatalf("%s has %d processes besides its first: see why in its log", p.who, len(children))
	}
	return append(children, c.pid())
}

// memory is RSS at rest and with consumers that take nothing. RSS under load
// stands in the rows of bulk and live.
func (b *bench) memory(t *scope) {
	const idle = "RSS idle"
	b.eachResting(idle, func(t *scope, p resting, dir string) row {
		c := startChild(t, firstRecord, p.argv(t, dir)...)
		c.awaitRead(10*time.Second, time.Millisecond)
		time.Sleep(settle)
		var all int64
		for _, pid := range p.processes(t, c) {
			now, _, err := lab.RSS(pid)
			lab.Check(t, err, "memory")
			all += now
		}
		r := row{What: idle, Who: p.who, Value: mib(all), Unit: "MiB"}
		if p.relay && !p.split { // of two, what both share counts twice
			r = r.goal("≤ 15", r.Value <= 15)
		}
		return r
	})
	if b.relay != "" {
		const dead = "RSS with two dead consumers"
		b.measure(dead, "audisp-relay", func(t *scope) { b.add(b.deadConsumers(t, dead)) })
	}
}

// deadConsumers feeds the bulk stream to a relay whose two clients have
// stopped reading and are not to be disconnected.
func (b *bench) deadConsumers(t *scope, what string) row {
	tool(t, "socat")
	c := makeCorpus(t, filepath.Join(b.dir, "corpus"), b.records)
	dir := b.caseDir(t)
	socks := []string{filepath.Join(dir, "s1"), filepath.Join(dir, "s2")}
	child := startChild(t, firstRecord, b.relay, "-c", b.deadConf(t, dir, socks))
	for i, sock := range socks {
		p := lab.Follow(t, sock, fmt.Sprintf("%s/out%d", dir, i))
		p.Signal(syscall.SIGSTOP)
	}
	child.awaitRead(10*time.Second, time.Millisecond)
	time.Sleep(settle) // consumers die later than the start, whose own peak is in VmHWM too
	begin := time.Now()
	child.write(c.path)
	child.awaitRead(60*time.Second, time.Millisecond)
	wall := time.Since(begin)
	now, peak, err := lab.RSS(child.pid())
	lab.Check(t, err, "memory")
	r := row{What: what, Who: "audisp-relay", Value: mib(peak), Unit: "MiB",
		Detail: fmt.Sprintf("peak; %.1f after %d records at %.0f/s", mib(now), c.records, float64(c.records)/wall.Seconds())}
	return r.goal("≤ 24", r.Value <= 24)
}

// deadConf has two sinks that keep their clients whatever these do.
func (b *bench) deadConf(t *scope, dir string, sockets []string) (file string) {
	const keep = `slow_client = "drop"`
	return b.relayConf(t, dir, `overflow_action = "ignore"`,
		unixSink("one", sockets[0], keep)+unixSink("two", sockets[1], keep))
}

// startTime is from exec to the first read of stdin, the median of several.
func (b *bench) startTime(t *scope) {
	const what = "start to reading stdin"
	const times = 9
	b.eachResting(what, func(t *scope, p resting, dir string) row {
		argv := p.argv(t, dir)
		var took []time.Duration
		for range times {
			c := startChild(t, firstRecord, argv...)
			c.awaitRead(10*time.Second, 50*time.Microsecond)
			took = append(took, time.Since(c.started))
			p.processes(t, c)
			c.finish(10 * time.Second)
		}
		slices.Sort(took)
		r := row{What: what, Who: p.who, Value: float64(took[times/2].Microseconds()) / 1000, Unit: "ms",
			Detail: fmt.Sprintf("median of %d; highest %.1f", times, float64(took[times-1].Microseconds())/1000)}
		if p.relay {
			r = r.goal("≤ 50", r.Value <= 50)
		}
		return r
	})
}
