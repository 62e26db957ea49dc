package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is the verdict on one sink of a host.
type State uint8

// States, the worst last. Behind and those after it are findings.
const (
	Complete State = iota
	Ended          // the relay has ended in order and not started again
	Behind
	Lost
	Silent
	NeverSeen
	StateLost
	SharedID
	RolledBack
	Missing
	numStates
)

var stateNames = [numStates]string{
	"complete", "ended", "behind", "lost", "silent", "never seen", "state lost", "shared id", "engine rolled back", "hole",
}

// States returns the names of all states, the worst last.
func States() []string { return slices.Clone(stateNames[:]) }

func (s State) String() string { return stateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// silentAfter is how many intervals may pass without a checkpoint.
const silentAfter = 3

// Finding is one observation about a host: its numbers, and a text for people.
type Finding struct {
	State State  `json:"state"`
	Text  string `json:"text,omitempty"`
}

// Host is the report on one sink of one host.
type Host struct {
	Host     string    `json:"host"` // machine-id, "" of a host that is only in the inventory by its name
	Name     string    `json:"name,omitempty"`
	Sink     string    `json:"sink,omitempty"`
	State    State     `json:"state"`    // the worst of the findings
	Findings []Finding `json:"findings"` // the worst first; empty for a complete host

	Epoch      string            `json:"epoch,omitempty"`
	Seq        uint64            `json:"seq"`                  // of the last record in the stream
	Repeated   uint64            `json:"repeated"`             // records that came twice, with verify
	Checkpoint time.Time         `json:"checkpoint,omitzero"`  // when the engine took the last one
	Until      time.Time         `json:"last_record,omitzero"` // time of the last record in the stream
	Behind     time.Duration     `json:"behind_ns"`
	Queued     uint64            `json:"queued"`
	Lost       map[string]uint64 `json:"lost,omitempty"`
	Holes      []Hole            `json:"holes,omitempty"`
	MoreHoles  uint64            `json:"records_in_more_holes,omitempty"`
}

// view is what rows are judged by.
type view struct {
	now     time.Time     // by the engine's clock, before checkpoints were read
	behind  time.Duration // more than that is a finding
	expired bool          // the streams of batches have lost messages by age
	partial bool          // not all batches were read: of several sinks that have one subject some may be missing
}

// judge says what is to be said of a row.
func (t *table) judge(i int32, v view) Host {
	r := t.row(i)
	h := Host{
		Host: r.host.String(), Name: r.name, Sink: t.sinks[r.sink], Epoch: fmt.Sprintf("%x", r.ckptEpoch),
		Repeated: r.repeated, Checkpoint: timeOf(r.ckptStored), Until: timeOf(r.until), Queued: r.queued,
		Findings: []Finding{},
	}
	if r.next > 0 {
		h.Seq, h.Epoch = r.next-1, fmt.Sprintf("%x", r.epoch)
	}
	x := t.extra[i]
	if x == nil {
		x = new(extra)
	}
	h.Lost, h.Holes, h.MoreHoles = x.lostSince(), x.holes, x.moreHoles

	h.judgeLiveness(r, v)
	if r.next > 0 || !v.partial || !t.hasBatches(r.host) {
		h.judgeDelivery(r, v)
	}
	h.judgeHistory(r, x)
	slices.SortStableFunc(h.Findings, func(a, b Finding) int { return cmp.Compare(b.State, a.State) })
	if len(h.Findings) > 0 {
		h.State = h.Findings[0].State
	}
	return h
}

func (h *Host) add(state State, format string, args ...any) {
	h.Findings = append(h.Findings, Finding{state, fmt.Sprintf(format, args...)})
}

// judgeLiveness says whether checkpoints come. It goes by the engine's clock alone, so that the
// clock of a host does not matter.
func (h *Host) judgeLiveness(r *row, v view) {
	silence := v.now.Sub(h.Checkpoint)
	interval := time.Duration(r.interval) * time.Millisecond
	switch {
	case r.n == 0:
		h.add(Silent, "no checkpoint ever: start the relay, or set checkpoint = true for its sink")
	case r.flags&ended != 0:
		h.add(Ended, "%s ago, in order", seconds(silence))
	case silence > silentAfter*interval:
		h.add(Silent, "last checkpoint %s ago, due every %s", seconds(silence), seconds(interval))
	}
}

// judgeDelivery compares what the host says it has delivered with what the engine has. Batches were
// read after the checkpoints: the engine has at least what these say.
func (h *Host) judgeDelivery(r *row, v view) {
	if r.n == 0 {
		return
	}
	sameEpoch := r.next > 0 && r.ckptEpoch == r.epoch
	olderEpoch := r.next > 0 && r.ckptEpoch == r.before
	switch {
	case sameEpoch && r.ckptSeq >= r.next:
		h.add(RolledBack, "the host has an acknowledgement up to %d, the stream ends at %d", r.ckptSeq, r.next-1)
	case sameEpoch, olderEpoch, r.ckptSeq == 0:
	case r.next > 0, !v.expired:
		h.add(RolledBack, "the host has an acknowledgement up to %d, the stream has none of that epoch", r.ckptSeq)
	}

	if r.queued > 0 && sameEpoch && r.until > 0 {
		h.Behind = max(0, time.Duration(r.ckptTime-r.until)*time.Millisecond)
	}
	if h.Behind > v.behind {
		h.add(Behind, "%s, %d records wait on the host", seconds(h.Behind), r.queued)
	}
}

// judgeHistory says what has been found in what came before.
func (h *Host) judgeHistory(r *row, x *extra) {
	if len(h.Lost) > 0 {
		var parts []string
		for _, cause := range slices.Sorted(maps.Keys(h.Lost)) {
			parts = append(parts, fmt.Sprintf("%d %s", h.Lost[cause], cause))
		}
		h.add(Lost, "%s, the host says", strings.Join(parts, ", "))
	}

	if x.lostState != "" {
		h.add(StateLost, "%s", x.lostState)
	}
	if r.flags&shared != 0 {
		h.add(SharedID, "records of two epochs take turns: two hosts have this machine-id; give each its own (systemd-machine-id-setup)")
	}

	for _, hole := range x.holes {
		text := fmt.Sprintf("records %d to %d (%d)", hole.From, hole.To, hole.To-hole.From+1)
		if !hole.Since.IsZero() && !hole.Until.IsZero() {
			text += fmt.Sprintf(" from %s to %s", hole.Since.Format(time.RFC3339), hole.Until.Format(time.RFC3339))
		}
		h.add(Missing, "%s", text)
	}

	if x.moreHoles > 0 {
		h.add(Missing, "and %d more records in other holes", x.moreHoles)
	}
}

// IsFinding reports whether a state is one that makes the exit code 1.
func (s State) IsFinding() bool { return s >= Behind }

// seconds shows a time to the second, or to the millisecond where it is short.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
