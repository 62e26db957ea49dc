package consumer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"audisp-relay/fleet/wire"
	"audisp-relay/sinks"
)

// CarriesCheckpoints reports whether the consumer gets checkpoints: beside its records, or among
// them where its configuration asks for that. It may be called from anywhere.
func (c *Consumer) CarriesCheckpoints() bool {
	c.mu.Lock()
	sink, cfg := c.sink, c.cfg
	c.mu.Unlock()
	if among, ok := cfg.Settings.(sinks.Checkpointed); ok {
		return among.Checkpoints()
	}
	return sink != nil && sinks.CarriesCheckpoints(sink)
}

// Ledger returns what has become of the consumer's records, over all runs with this state_dir. It
// may be called from anywhere.
func (c *Consumer) Ledger() wire.Ledger {
	n, base := c.balance()
	t := totals(base, &n, true)
	l := wire.Ledger{
		Received: t["received"], Filtered: t["filtered"], Discarded: t["discarded"], Delivered: t["delivered"], Queued: n.Queued,
		Lost: make(map[string]uint64),
	}
	for key, count := range t {
		if cause, isLoss := strings.CutPrefix(key, "lost "); isLoss && count > 0 {
			l.Lost[cause] = count
		}
	}
	return l
}

// Checkpoint gives the consumer a checkpoint, and reports whether it has taken it: one in a queue
// waits its turn, see queue.PutCheckpoint. It may be called from anywhere.
func (c *Consumer) Checkpoint(cp wire.Checkpoint) bool {
	c.mu.Lock()
	sink, cfg, q := c.sink, c.cfg, c.now
	c.mu.Unlock()
	if among, ok := cfg.Settings.(sinks.Checkpointed); ok {
		taken := among.Checkpoints() && q.PutCheckpoint(cp.Reason == wire.ReasonEnd, func(dst []byte, number uint64) []byte {
			cp.Seq = number
			return appendCheckpoint(dst, &cp)
		})
		if taken {
			c.mu.Lock()
			c.checkpoint = cp.Time
			c.mu.Unlock()
		}
		return taken
	}

	to, ok := sink.(sinks.Checkpointer)
	if ok {
		to.Checkpoint(cp)
	}
	return ok
}

// appendCheckpoint appends a checkpoint as the fields of a record. Seq is the number of records,
// markers and checkpoints before it. The values have no blanks and quotes, so that every reader of
// audit records reads them.
func appendCheckpoint(dst []byte, c *wire.Checkpoint) []byte {
	l := &c.Ledger
	sum := uint64(0)
	for _, n := range l.Lost {
		sum += n
	}
	dst = fmt.Appendf(dst, "op=relay-checkpoint sink=%s n=%d seq=%d reason=%s next=%d.%03d host=%s boot=%s epoch=%s",
		word(c.Sink), c.N, c.Seq, c.Reason, c.Next.Unix(), c.Next.Nanosecond()/1e6, word(c.Host), word(c.Boot), c.Epoch)
	dst = fmt.Appendf(dst, " received=%d filtered=%d discarded=%d delivered=%d queued=%d lost=%d",
		l.Received, l.Filtered, l.Discarded, l.Delivered, l.Queued, sum)
	for _, cause := range slices.Sorted(maps.Keys(l.Lost)) {
		dst = fmt.Appendf(dst, " lost-%s=%d", cause, l.Lost[cause])
	}
	return fmt.Appendf(dst, " first=%d last=%d kernel-lost=%d relay=%s auditd=%s config=%s res=success",
		c.Serials.First, c.Serials.Last, c.KernelLost, word(c.Relay), word(c.Auditd), word(c.Config))
}

// word returns s as the value of a field: "?" where it is empty.
func word(s string) string {
	if s == "" {
		return "?"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' || r == '\'' || r == '=' {
			return '_'
		}
		return r
	}, s)
}
