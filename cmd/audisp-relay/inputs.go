package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// rotatedName splits a log's name into its parts: the log it is a rotation of, the date or the
// number of the rotation, how it is compressed. logrotate numbers rotations or dates them
// (dateext), auditd numbers them; 1 is the newest.
var rotatedName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.*?)(?:[.-](\d{8}[\d-]*|\d{10,}))?(?:\.(\d{1,7}))?(?:\.(?:gz|xz|zst|bz2))?$`)
})

// storedLog is a log file and where it stands among the rotations of its log.
type storedLog struct {
	name, log, date string
	number          int
}

func logOf(name string) storedLog {
	m := rotatedName().FindStringSubmatch(name)
	if m == nil { // a newline
		return storedLog{name: name, log: name}
	}
	n, _ := strconv.Atoi(m[3])
	return storedLog{name, m[1], m[2], n}
}

// older orders the rotations of a log: the dated ones, then the numbered ones, then the log
// itself.
func older(a, b storedLog) int {
	const undated = "~" // after all digits
	return cmp.Or(cmp.Compare(cmp.Or(a.date, undated), cmp.Or(b.date, undated)), cmp.Compare(b.number, a.number))
}

// oldestFirst puts each log's rotations in order, as they were written: a shell gives
// audit.log, audit.log.1, audit.log.10, audit.log.2. Other files keep their places.
func oldestFirst(names []string) []string {
	byLog := make(map[string][]storedLog)
	for _, name := range names {
		l := logOf(name)
		byLog[l.log] = append(byLog[l.log], l)
	}
	for _, logs := range byLog {
		slices.SortStableFunc(logs, older)
	}
	sorted := make([]string, 0, len(names))
	for _, name := range names {
		log := logOf(name).log
		sorted = append(sorted, byLog[log][0].name)
		byLog[log] = byLog[log][1:]
	}
	return sorted
}
