package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"audisp-relay/test/lab"
)

// settle is how long a program gets to come to rest after its start.
const settle = 2 * time.Second

// resting is a program in a plain configuration, for memory and start.
type resting struct {
	who   string
	relay bool
	argv  func(t *scope, dir string) []string
}

func (b *bench) restingPrograms() []resting {
	return []resting{
		{"audisp-relay", true, func(t *scope, dir string) []string {
			return []string{b.relay, "-c", b.relayConf(t, dir, "", unixSink("local", filepath.Join(dir, "s"), ""))}
		}},
		{stockSyslog, false, func(t *scope, dir string) []string { return b.bulkStockSyslog(t, dir).argv }},
		{"laurel", false, func(t *scope, dir string) []string { return b.bulkLaurel(t, dir).argv }},
	}
}

func (b *bench) eachResting(what string, fn func(t *scope, p resting, dir string) row) {
	for _, p := range b.restingPrograms() {
		if b.leavesOut(p.relay) {
			continue
		}
		b.measure(what, p.who, func(t *scope) { b.add(fn(t, p, b.caseDir(t))) })
	}
}

// memory is RSS at rest and with consumers that take nothing. RSS under load
// stands in the rows of bulk and live.
func (b *bench) memory(t *scope) {
	const idle = "RSS idle"
	b.eachResting(idle, func(t *scope, p resting, dir string) row {
		c := startChild(t, firstRecord, p.argv(t, dir)...)
		c.awaitRead(10*time.Second, time.Millisecond)
		time.Sleep(settle)
		now, _, err := lab.RSS(c.pid())
		lab.Check(t, err, "memory")
		r := row{What: idle, Who: p.who, Value: mib(now), Unit: "MiB"}
		if p.relay {
			r = r.goal("≤ 24", r.Value <= 24)
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
	begin := time.Now()
	child.write(c.path)
	child.awaitRead(60*time.Second, time.Millisecond)
	wall := time.Since(begin)
	now, peak, err := lab.RSS(child.pid())
	lab.Check(t, err, "memory")
	r := row{What: what, Who: "audisp-relay", Value: mib(peak), Unit: "MiB",
		Detail: fmt.Sprintf("peak; %.1f after %d records at %.0f/s", mib(now), c.records, float64(c.records)/wall.Seconds())}
	return r.goal("≤ 96", r.Value <= 96)
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
