package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/test/lab"
)

const (
	eventsWhat = "events a second, bulk stream"
	filterWhat = "a filter, on top of an event"
	ecsWhat    = "CPU an event, coalescing"

	relayJSON       = "audisp-relay → json file"
	relayJSONFilter = "audisp-relay → json file, filter on key and uid"
	relayECS        = "audisp-relay → ecs file"
	relayLaurel     = "audisp-relay → laurel file"

	// benchFilter keeps two of three events or so.
	benchFilter = `key in ["fim", "net", "time"] && auid >= 1000 && auid != unset`
)

// eventCases write events to a file as laurel does: never synced.
func (b *bench) eventCases() []bulkCase {
	sink := func(keys string) func(*scope, string) bulkRun {
		return func(t *scope, dir string) bulkRun {
			out := filepath.Join(dir, "out")
			conf := b.relayConf(t, dir, bulkGlobals, fmt.Sprintf("[sinks.file]\ntype = \"file\"\npath = %q\nmax_size = \"0\"\nsync = \"none\"\n%s\n", out, keys))
			return bulkRun{argv: []string{b.relay, "-c", conf}, delivered: func() int { return countLines(t, out) }}
		}
	}
	return []bulkCase{
		{relayJSON, true, sink(`format = "json"`)},
		{relayJSONFilter, true, sink("format = \"json\"\nfilter = '" + benchFilter + "'")},
		{relayLaurel, true, sink(`format = "laurel"`)},
		{relayECS, true, sink(`format = "ecs"`)},
		{laurelName, false, b.bulkLaurel},
	}
}

func (b *bench) events(t *scope) {
	c := makeCorpus(t, filepath.Join(b.dir, "events"), b.records)
	best := map[string]figure{}
	for range b.rounds {
		b.round(eventsWhat, b.eventCases(), c, func(who string, f figure) {
			if old, ok := best[who]; !ok || f.wall < old.wall {
				best[who] = f
			}
		})
	}
	events, err := eventsOf(c)
	lab.Check(t, err, "events")
	for _, bc := range b.eventCases() {
		if f, ok := best[bc.who]; ok {
			b.add(eventRow(bc.who, f, best[laurelName], events.n))
		}
	}
	if b.only != "peers" {
		b.measure(filterWhat, "in process", func(t *scope) { b.add(filterCost(t, events)) })
		b.measure(ecsWhat, "aucoalesce alone", func(t *scope) { b.add(coalesceCost(t, events, best[relayECS])) })
	}
}

func eventRow(who string, f, laurel figure, events int) row {
	rate := func(f figure) float64 { return float64(events) / f.wall.Seconds() }
	cpu := func(f figure) float64 { return f.cpu.Seconds() * 1e6 / float64(events) }
	r := row{What: eventsWhat, Who: who, Value: rate(f) / 1e3, Unit: "thousand/s",
		Detail: fmt.Sprintf("%.2f µs CPU an event, %d of %d events written, RSS peak %.1f MiB", cpu(f), f.delivered, events, mib(f.rss))}
	if laurel.wall == 0 || who == laurelName {
		return r
	}
	r.Detail += fmt.Sprintf(", %.1f times laurel's rate", rate(f)/rate(laurel))
	if who == relayJSON {
		r = r.goal("≥ 8 times laurel, at less CPU", rate(f) >= 8*rate(laurel) && cpu(f) < cpu(laurel) && f.delivered == events)
	}
	return r
}

// assembled is the bulk stream as events.
type assembled struct {
	batches []record.Batch
	n       int
}

func eventsOf(c corpus) (all assembled, err error) {
	f, err := os.Open(c.path)
	if err != nil {
		return all, err
	}
	defer f.Close()
	asm := event.NewAssembler(event.AssemblerOptions{Out: func(b *record.Batch) {
		all.batches = append(all.batches, record.Batch{Buf: bytes.Clone(b.Buf), Recs: append([]record.Record(nil), b.Recs...)})
		all.n += ends(b)
	}})
	r := stream.NewReader(f)
	var b record.Batch
	for r.Next(&b) == nil {
		asm.Add(&b, time.Now())
	}
	asm.Flush()
	return all, nil
}

// each calls fn with every event.
func (a *assembled) each(fn func(b *record.Batch, i, j int)) {
	for k := range a.batches {
		b := &a.batches[k]
		for i := 0; i < len(b.Recs); {
			j := format.EventEnd(b, i)
			fn(b, i, j)
			i = j
		}
	}
}

// first returns batches from the beginning, of so many bytes or few more.
func (a *assembled) first(size int) (part assembled) {
	for k := range a.batches {
		if size <= 0 {
			break
		}
		b := &a.batches[k]
		part.batches = append(part.batches, *b)
		part.n += ends(b)
		size -= len(b.Buf)
	}
	return part
}

// ends counts the events of b.
func ends(b *record.Batch) (n int) {
	for i := range b.Recs {
		if b.Recs[i].Flags&record.End != 0 {
			n++
		}
	}
	return n
}

// filterCost is what a filter costs an event, beyond walking over the events. As in
// the relay, where they were read a moment ago, their bytes are in the cache.
func filterCost(t *scope, events assembled) row {
	f, err := filter.Compile(benchFilter)
	lab.Check(t, err, "filter")
	events = events.first(256 << 10)
	const times = 20
	const rounds = 100 // short ones: some of them have the machine for themselves
	m, kept := f.New(), 0
	fastest := func(fn func(b *record.Batch, i, j int)) time.Duration {
		best := time.Hour
		for range rounds {
			begin := time.Now()
			for range times {
				events.each(fn)
			}
			best = min(best, time.Since(begin))
		}
		return best
	}

	walk := fastest(func(*record.Batch, int, int) {})
	took := fastest(func(b *record.Batch, i, j int) {
		if keep, err := m.Keep(b, i, j); err != nil {
			t.Fatalf("%v", err)
		} else if keep {
			kept++
		}
	})
	r := row{What: filterWhat, Who: "in process", Value: float64((took - walk).Nanoseconds()) / 1e3 / times / float64(events.n), Unit: "µs",
		Detail: fmt.Sprintf("%s keeps %d of %d", benchFilter, kept/rounds/times, events.n)}
	return r.goal("≤ 0.2", r.Value <= 0.2)
}

// coalesceCost is what go-libaudit takes for what auditbeat makes of an event, and the relay's format
// ecs: parsing and coalescing, without any output.
func coalesceCost(t *scope, events assembled, relay figure) row {
	n := 0
	begin := time.Now()
	events.each(func(b *record.Batch, i, j int) {
		if n++; n > 10000 {
			return
		}
		var msgs []*auparse.AuditMessage
		for ; i < j; i++ {
			if b.Recs[i].Type == record.TypeEOE {
				continue
			}
			line, _, _ := bytes.Cut(b.Bytes(i), []byte{record.Separator})
			if m, err := auparse.ParseLogLine(string(line)); err == nil {
				msgs = append(msgs, m)
			}
		}
		if _, err := aucoalesce.CoalesceMessages(msgs); err != nil {
			return
		}
	})
	took := time.Since(begin)
	r := row{What: ecsWhat, Who: "aucoalesce alone", Value: took.Seconds() * 1e6 / float64(min(n, 10000)), Unit: "µs"}
	if relay.cpu > 0 {
		r.Detail = fmt.Sprintf("the relay with format ecs, reading and writing included: %.1f µs", relay.cpu.Seconds()*1e6/float64(events.n))
	}
	return r
}
