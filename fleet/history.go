package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// readHistories reads more than the last checkpoint of hosts that have several sinks, and all checkpoints
// of those whose last ones show that there is more to be known: more than one epoch, or more checkpoints
// than this epoch has had. last is the last message to read, now the time by the engine's clock.
func (v *Verifier) readHistories(ctx context.Context, last uint64, now time.Time) error {
	if last == 0 {
		return nil
	}
	info, err := v.e.stream(ctx, wire.StreamCheckpoints, jetstream.WithSubjectFilter(wire.AllSubjects(wire.Checkpoints)))
	if err != nil {
		return err
	}

	for i := range int32(v.t.count) {
		host := v.t.row(i).host
		if v.t.first(host) != i {
			continue // all rows of a host at once
		}
		if v.t.row(i).nextSink >= 0 {
			if err := v.readRecent(ctx, host, last, now); err != nil {
				return err
			}
		}

		subject := wire.Subject(wire.Checkpoints, host.String())
		seen, asked := v.asked[host]
		if !v.doubtful(i, info.State.Subjects[subject]) || (asked && seen == v.epochs(i)) {
			continue
		}
		if err := v.readHistory(ctx, host, scanRange{stream: wire.StreamCheckpoints, subject: subject, from: 1, to: last, since: v.o.Since}); err != nil {
			return err
		}
		v.asked[host] = v.epochs(i)
	}
	return nil
}

// readRecent reads the checkpoints of a host that came since it was called last, at first those of as
// long ago as a sink may have been silent: the last one of all is that of one sink only.
func (v *Verifier) readRecent(ctx context.Context, host hostID, last uint64, now time.Time) error {
	r := scanRange{stream: wire.StreamCheckpoints, subject: wire.Subject(wire.Checkpoints, host.String()), from: v.recent[host], to: last}
	if r.from == 0 {
		r.since = now.Add(-silentAfter * maxInterval)
	}
	_, err := v.e.scan(ctx, r, func(m message) error {
		if c, err := wire.ParseCheckpoint(m.Data()); err == nil && hostOf(c.Host) == host {
			_ = v.t.checkpoint(host, c, m.time) // one of too many sinks is counted when it is the host's last
		}
		return nil
	})
	if err == nil {
		v.recent[host] = last + 1
	}
	return err
}

// doubtful reports whether a host may have begun again, i being its first row and stored how many
// of its checkpoints there are.
func (v *Verifier) doubtful(i int32, stored uint64) (doubtful bool) {
	var sum uint64
	for ; i >= 0; i = v.t.row(i).nextSink {
		r := v.t.row(i)
		sum += r.n
		otherEpoch := r.n > 0 && r.next > 0 && r.ckptEpoch != r.epoch
		doubtful = doubtful || otherEpoch || r.flags&moved != 0
	}
	return doubtful || stored > sum
}

// epochs is another one when a sink of the host whose first row is i begins again.
func (v *Verifier) epochs(i int32) (all epoch) {
	for ; i >= 0; i = v.t.row(i).nextSink {
		for k, b := range v.t.row(i).ckptEpoch {
			all[k] ^= b
		}
	}
	return all
}

// course is what came last of a sink in its history.
type course struct {
	epoch, before string
	n             uint64
	time          time.Time
	reason        string
}

// readHistory reads all checkpoints of one host.
func (v *Verifier) readHistory(ctx context.Context, host hostID, r scanRange) error {
	sinks := make(map[string]*course)
	_, err := v.e.scan(ctx, r, func(m message) error {
		c, err := wire.ParseCheckpoint(m.Data())
		if err != nil || hostOf(c.Host) != host {
			return nil // was counted
		}
		i, err := v.t.find(host, c.Sink)
		if err != nil {
			return nil // likewise
		}
		_ = v.t.checkpoint(host, c, m.time) // the row is there
		if last := sinks[c.Sink]; last == nil {
			sinks[c.Sink] = &course{epoch: c.Epoch}
		} else if text := last.fault(c, m.time); text != "" {
			v.t.more(i).lostState = text
		} else if c.Epoch == last.before {
			v.t.row(i).flags |= shared
			v.t.more(i).lostState = "" // each has its own
		}
		sinks[c.Sink].note(c)
		return nil
	})
	return err
}

// fault says what a checkpoint shows of the host's state, "" for nothing.
func (l *course) fault(c *wire.Checkpoint, stored time.Time) string {
	at := stored.UTC().Format(time.RFC3339)
	switch {
	case c.Epoch == l.before:
		return "" // two hosts, which has a finding of its own
	case c.Epoch != l.epoch && l.reason != wire.ReasonEnd:
		return fmt.Sprintf("it began again at 1 on %s without a last word before: state_dir was lost or removed", at)
	case c.Epoch != l.epoch, c.N > l.n:
	case c.N == l.n && c.Time.Equal(l.time): // sent twice
	default:
		return fmt.Sprintf("checkpoint %d came on %s after %d: state_dir was put back to an older copy", c.N, at, l.n)
	}
	return ""
}

func (l *course) note(c *wire.Checkpoint) {
	if c.Epoch != l.epoch {
		l.before = l.epoch
	}
	l.epoch, l.n, l.time, l.reason = c.Epoch, c.N, c.Time, c.Reason
}

// readBaselines reads what hosts with losses had lost already at Options.Since, so that judge can
// leave it out. last is the last message to read.
func (v *Verifier) readBaselines(ctx context.Context, last uint64) error {
	if v.o.Since.IsZero() {
		return nil
	}

	for i := range int32(v.t.count) {
		x := v.t.extra[i]
		if x == nil || x.based || len(x.lost) == 0 {
			continue
		}
		r := v.t.row(i)
		x.based, x.before = true, x.lost // without a checkpoint since then, all was before
		one := scanRange{stream: wire.StreamCheckpoints, subject: wire.Subject(wire.Checkpoints, r.host.String()), from: 1, to: last, since: v.o.Since}
		_, err := v.e.scan(ctx, one, func(m message) error {
			c, err := wire.ParseCheckpoint(m.Data())
			if err != nil || hostOf(c.Host) != r.host || c.Sink != v.t.sinks[r.sink] {
				return nil
			}
			if x.before = c.Ledger.Lost; epochOf(c.Epoch) != r.ckptEpoch {
				x.before = nil // the counts have begun again since
			}
			return errEnough
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lostSince returns what was lost and not yet at the baseline.
func (x *extra) lostSince() map[string]uint64 {
	if len(x.before) == 0 {
		return x.lost
	}
	since := make(map[string]uint64)
	for cause, n := range x.lost {
		if n > x.before[cause] {
			since[cause] = n - x.before[cause]
		}
	}
	return since
}
