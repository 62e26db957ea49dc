package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"audisp-relay/test/lab"
)

// liveLatencyRate is how many events a second the load makes.
const liveLatencyRate = 1000

// liveLatency is how old events are when a reader of the socket has them, by their own time,
// under a real auditd. The kernel takes that from a clock that is up to 4 ms behind, for the
// chains compared alike.
func (b *bench) liveLatency(t *scope) {
	what := fmt.Sprintf("live, %d events/s: event time to read, p99", liveLatencyRate)
	found := map[string]row{}
	for _, c := range b.liveChains() {
		if b.leavesOut(c.relay) || c.reads != "s" {
			continue
		}
		b.measure(what, c.who, func(t *scope) { found[c.who] = b.liveLatencyOnce(t, c) })
	}
	stock, both := found[stockUnix+" + socat"]
	for _, c := range b.liveChains() {
		r, ok := found[c.who]
		if !ok {
			continue
		}
		r.What = what
		if both && c.relay {
			r = r.goal("≤ af_unix + 0.5", r.Value <= stock.Value+0.5)
		}
		b.add(r)
	}
}

func (b *bench) liveLatencyOnce(t *scope, c liveChain) row {
	lab.Require(t)
	dir := b.caseDir(t)
	plugin, _ := c.setup(t, dir)
	plugin.Name = pluginName
	a := lab.Start(t, lab.Options{Plugins: []lab.Plugin{plugin}})
	conn := dialPasser(t, filepath.Join(dir, c.reads))
	defer conn.Close()

	ages := make(chan []time.Duration, 1)
	go func() { ages <- readAges(conn.Read) }()
	res := a.Load(lab.Load{Rate: liveLatencyRate, Duration: time.Duration(b.seconds) * time.Second})
	a.Drain()
	time.Sleep(time.Second)
	conn.Close()
	took := <-ages
	if len(took) == 0 {
		t.Fatalf("no event of the load came")
	}
	slices.Sort(took)
	ms := func(share float64) float64 {
		return took[min(int(share*float64(len(took))), len(took)-1)].Seconds() * 1e3
	}
	return row{Who: strings.TrimSuffix(c.who, " + socat"), Value: ms(0.99), Unit: "ms",
		Detail: fmt.Sprintf("p50 %.1f, max %.1f; %d events at %.0f/s, %d read", ms(0.5), ms(1), res.Made, res.Rate(), len(took))}
}

// readAges reads until read fails, and returns how old each event of the load was when its
// SYSCALL record came.
func readAges(read func([]byte) (int, error)) []time.Duration {
	var ages []time.Duration
	buf := make([]byte, 1<<20)
	kept := 0
	for {
		n, err := read(buf[kept:])
		now := time.Now()
		if err != nil {
			return ages
		}
		have := buf[:kept+n]
		end := bytes.LastIndexByte(have, '\n') + 1
		for line := range bytes.Lines(have[:end]) {
			if at, ok := loadTime(line); ok {
				ages = append(ages, now.Sub(at))
			}
		}
		kept = copy(buf, have[end:])
	}
}

// loadTime returns the time of a SYSCALL record of the load.
func loadTime(line []byte) (time.Time, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("type=SYSCALL msg=audit("))
	if !ok || !bytes.Contains(rest, []byte(`key="`+lab.LoadKey+`"`)) {
		return time.Time{}, false
	}
	seconds, rest, _ := bytes.Cut(rest, []byte{'.'})
	millis, _, _ := bytes.Cut(rest, []byte{':'})
	s, err1 := strconv.ParseInt(string(seconds), 10, 64)
	ms, err2 := strconv.ParseInt(string(millis), 10, 64)
	return time.Unix(s, ms*1e6), err1 == nil && err2 == nil
}
