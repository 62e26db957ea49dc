package lab

import (
	"bytes"
	"fmt"
)

// Marker is what the relay says in a consumer's stream of what that consumer
// lost there.
type Marker struct {
	ID          string // SEC.MS:SERIAL
	Sink, Cause string
	Records     uint64
	Events      uint64
	First, Last uint32 // serials
	MAC         string
	Line        string
}

// Markers returns those of a stream of text records, in order.
func Markers(paths ...string) ([]Marker, error) {
	var markers []Marker
	var bad error
	err := eachLine(paths, func(line []byte) bool {
		if !isMarker(line) {
			return true
		}
		m, err := parseMarker(line)
		if err != nil {
			bad = err
			return false
		}
		markers = append(markers, m)
		return true
	})
	if err == nil {
		err = bad
	}
	return markers, err
}

func isMarker(line []byte) bool {
	return recordType(line) == "DAEMON_ERR" && bytes.Contains(line, []byte(": op=relay-loss "))
}

// markerText is the text of a marker after its id.
const markerText = "op=relay-loss sink=%s cause=%s records=%d events=%d first=%d last=%d res=failed mac=%s"

// parseMarker is strict: every field there, once, in this order, nothing else.
func parseMarker(line []byte) (Marker, error) {
	m := Marker{ID: string(recordID(line)), Line: string(line)}
	_, text, _ := bytes.Cut(line, []byte("): "))
	_, err := fmt.Sscanf(string(text), markerText, &m.Sink, &m.Cause, &m.Records, &m.Events, &m.First, &m.Last, &m.MAC)

	// Sscanf is not: it skips blanks and signs.
	again := fmt.Sprintf(markerText, m.Sink, m.Cause, m.Records, m.Events, m.First, m.Last, m.MAC)
	if err != nil || again != string(text) || m.ID == "" || len(m.MAC) != 32 {
		return m, fmt.Errorf("marker %q: want %s", line, markerText)
	}
	return m, nil
}
