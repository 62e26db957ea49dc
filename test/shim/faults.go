package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"time"
)

// faults spoils a stream of lines.
type faults struct {
	plan   Plan
	rng    *rand.Rand
	counts Counts
	rest   []byte     // a line whose end has not come yet
	late   []lateLine // the next one due first
	out    []byte
}

func newFaults(p Plan) *faults {
	return &faults{plan: p, rng: rand.New(rand.NewPCG(p.Seed, 0))}
}

// feed takes what came from auditd at some time, and lets go what is due then.
func (f *faults) feed(data []byte, now time.Time) {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			f.rest = append(f.rest, data...)
			break
		}
		f.line(append(f.rest, data[:i+1]...), now)
		f.rest, data = f.rest[:0], data[i+1:]
	}
	for len(f.late) > 0 && !f.late[0].due.After(now) {
		f.letGo()
	}
}

// letGo lets the next late line go.
func (f *faults) letGo() {
	f.out, f.late = append(f.out, f.late[0].text...), f.late[1:]
}

// line decides what becomes of one line, newline included.
func (f *faults) line(line []byte, now time.Time) {
	f.counts.Records++
	dice := f.rng.Float64()
	at, keep := f.rng.IntN(len(line)), f.rng.IntN(2) == 0
	wait := time.Duration(f.rng.Float64() * float64(f.plan.Late))
	switch p := f.plan; {
	case dice < p.Drop:
		f.counts.Dropped++
	case dice < p.Drop+p.Cut:
		f.counts.Cut++
		f.out = append(f.out, line[:at]...)
		if keep {
			f.out = append(f.out, '\n')
		} else {
			f.counts.Joined++
		}
	case dice < p.Drop+p.Cut+p.Delay:
		f.counts.Delayed++
		due := now.Add(wait)
		k, _ := slices.BinarySearchFunc(f.late, due, func(l lateLine, due time.Time) int { return l.due.Compare(due) })
		f.late = slices.Insert(f.late, k, lateLine{due, bytes.Clone(line)})
	default:
		f.out = append(f.out, line...)
	}
}

// end lets go what is still held back.
func (f *faults) end() {
	for len(f.late) > 0 {
		f.letGo()
	}
	f.out = append(f.out, f.rest...)
	f.rest = nil
}

// next is when the next late line is due, at most latest.
func (f *faults) next(latest time.Time) time.Time {
	if len(f.late) > 0 && f.late[0].due.Before(latest) {
		return f.late[0].due
	}
	return latest
}

// take returns what is to be written; it is valid until the next feed.
func (f *faults) take() []byte {
	out := f.out
	f.out = f.out[:0]
	return out
}

type lateLine struct {
	due  time.Time
	text []byte
}
