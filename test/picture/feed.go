package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"syscall"
	"time"

	"audisp-relay/testdata/captures"
)

const captured = "audit-4.2.1-enriched.string.gz"

// stamp is the time and the serial of a record.
var stamp = regexp.MustCompile(`audit\((\d+\.\d+):(\d+)\)`)

// failing is a captures.TB for a program.
type failing struct{}

func (failing) Helper()                      {}
func (failing) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (failing) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// feed writes the events of the capture as if they were made now, with serials of their own.
func feed(w io.Writer) error {
	const tick = 100 * time.Millisecond
	events := splitEvents(captures.Read(failing{}, captured))
	serial := 409000
	for n := 0; ; n++ {
		count := 30 + int(25*math.Sin(float64(n)/25)) // a wave of 16 seconds
		for i := range count {
			serial++
			id := fmt.Appendf(nil, "audit(%.3f:%d)", float64(time.Now().UnixMilli())/1000, serial)
			_, err := w.Write(stamp.ReplaceAllLiteral(events[(serial+i)%len(events)], id))
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		time.Sleep(tick)
	}
}

// splitEvents cuts records, a line each, into events of the kernel: consecutive ones with the same
// stamp.
func splitEvents(text []byte) (events [][]byte) {
	last := ""
	for line := range bytes.Lines(text) {
		id := string(stamp.Find(line))
		if id == last && len(events) > 0 {
			events[len(events)-1] = append(events[len(events)-1], line...)
			continue
		}
		last = id
		if bytes.Contains(line, []byte("type=DAEMON_")) {
			continue // auditd's own, whose serials are no part of the kernel's
		}
		events = append(events, bytes.Clone(line))
	}
	return events
}
