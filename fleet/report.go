package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxLostCauses bounds the causes that are counted apart: hosts choose the words.
const maxLostCauses = 32

// Summary is the report on all hosts together.
type Summary struct {
	Time        time.Time      `json:"time"` // by the engine's clock
	Took        time.Duration  `json:"took_ns"`
	Hosts       int            `json:"hosts"`    // that have spoken
	Sinks       int            `json:"sinks"`    // of hosts, and hosts of the inventory that never spoke
	States      map[string]int `json:"states"`   // sinks by their worst state
	Findings    int            `json:"findings"` // sinks and streams with a finding
	Unlisted    int            `json:"unlisted"` // hosts that the inventory lacks
	Streams     []StreamNote   `json:"streams"`
	Checkpoints uint64         `json:"checkpoints_read"`
	Batches     uint64         `json:"batches_read"`

	lost map[string]uint64 // by cause, what hosts say
}

// StreamNote is a remark on a stream.
type StreamNote struct {
	Stream  string `json:"stream"`
	Finding bool   `json:"finding"`
	Text    string `json:"text"`
}

func (s *Summary) note(stream string, finding bool, format string, args ...any) {
	s.Streams = append(s.Streams, StreamNote{stream, finding, fmt.Sprintf(format, args...)})
	if finding {
		s.Findings++
	}
}

// count adds a host to the sums.
func (s *Summary) count(h *Host) {
	if s.States == nil {
		s.States = make(map[string]int)
		s.lost = make(map[string]uint64)
	}
	s.Sinks++
	s.States[h.State.String()]++
	if h.State.IsFinding() {
		s.Findings++
	}
	for cause, n := range h.Lost {
		if _, known := s.lost[cause]; !known && len(s.lost) >= maxLostCauses {
			cause = "other"
		}
		s.lost[cause] += n
	}
}

// WriteText writes one line for a host: state, name, machine-id, sink, and what has been found.
// None of what hosts chose has a control character in it.
func (h *Host) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %-20s %-32s %s", h.State, orDash(h.Name), orDash(h.Host), orDash(h.Sink))
	if h.Host != "" && h.Sink != "" {
		fmt.Fprintf(&b, "  up to %d", h.Seq)
	}

	for k, f := range h.Findings {
		separator := "; "
		if k == 0 {
			separator = ": "
		}
		b.WriteString(separator)
		if f.State != h.State {
			b.WriteString(f.State.String() + ": ")
		}
		b.WriteString(f.Text)
	}

	if h.Repeated > 0 {
		fmt.Fprintf(&b, "; %d records twice", h.Repeated)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// WriteJSON writes the host as one line of JSON.
func (h *Host) WriteJSON(w io.Writer) error { return writeLine(w, h) }

// WriteJSON writes the summary as one line of JSON: {"summary": {...}}.
func (s *Summary) WriteJSON(w io.Writer) error {
	return writeLine(w, map[string]*Summary{"summary": s})
}

func writeLine(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// WriteText writes a line for each note on a stream, and the sums.
func (s *Summary) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, n := range s.Streams {
		fmt.Fprintf(&b, "stream %s: %s\n", n.Stream, n.Text)
	}
	fmt.Fprintf(&b, "%d hosts, %d sinks", s.Hosts, s.Sinks)
	for state := range numStates {
		if n := s.States[state.String()]; n > 0 {
			fmt.Fprintf(&b, ", %d %s", n, state)
		}
	}
	fmt.Fprintf(&b, "; %d checkpoints and %d batches in %v", s.Checkpoints, s.Batches, s.Took.Round(time.Millisecond))
	if s.Unlisted > 0 {
		fmt.Fprintf(&b, "; %d hosts are not in the inventory", s.Unlisted)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
