package lab

import (
	"bytes"
	"fmt"
	"strconv"
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

// parseMarker is strict: every field there, once, in this order, nothing else.
func parseMarker(line []byte) (Marker, error) {
	m := Marker{ID: string(recordID(line)), Line: string(line)}
	bad := fmt.Errorf("marker %q: want op=relay-loss sink= cause= records= events= first= last= res=failed mac=", line)
	_, text, ok := bytes.Cut(line, []byte("): "))
	fields := bytes.Split(text, []byte(" "))
	names := []string{"op", "sink", "cause", "records", "events", "first", "last", "res", "mac"}
	if !ok || m.ID == "" || len(fields) != len(names) {
		return m, bad
	}
	values := map[string]string{}
	for i, f := range fields {
		name, value, _ := bytes.Cut(f, []byte("="))
		if string(name) != names[i] {
			return m, bad
		}
		values[names[i]] = string(value)
	}
	m.Sink, m.Cause, m.MAC = values["sink"], values["cause"], values["mac"]
	var err [4]error
	m.Records, err[0] = strconv.ParseUint(values["records"], 10, 64)
	m.Events, err[1] = strconv.ParseUint(values["events"], 10, 64)
	first, err2 := strconv.ParseUint(values["first"], 10, 32)
	last, err3 := strconv.ParseUint(values["last"], 10, 32)
	err[2], err[3] = err2, err3
	m.First, m.Last = uint32(first), uint32(last)
	for _, e := range err {
		if e != nil {
			return m, bad
		}
	}
	if values["op"] != "relay-loss" || values["res"] != "failed" || len(values["mac"]) != 32 {
		return m, bad
	}
	return m, nil
}
