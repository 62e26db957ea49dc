package stig

import (
	"fmt"
	"io"
	"strings"
	"time"

	"audisp-relay/doctor"
)

// Count is how many of the answers have that status.
func Count(answers []Answer, s Status) (n int) {
	for i := range answers {
		if answers[i].Status == s {
			n++
		}
	}
	return n
}

// WriteText prints the answers for a person.
func WriteText(w io.Writer, answers []Answer) error {
	var b strings.Builder
	for i := range answers {
		a := &answers[i]
		fmt.Fprintf(&b, "%-10s %s\n           %s", strings.ToUpper(string(a.Status)), a.Title, strings.Join(a.Rules, " "))
		if len(a.SRG) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(a.SRG, " "))
		}
		b.WriteByte('\n')
		for _, line := range a.Evidence {
			fmt.Fprintf(&b, "    seen:  %s\n", line)
		}
		for _, line := range a.Set {
			fmt.Fprintf(&b, "    to do: %s\n", line)
		}
		b.WriteByte('\n')
	}

	fmt.Fprintf(&b, "%d satisfied, %d gaps, %d to ask: not visible from this host\n", Count(answers, Satisfied), Count(answers, Gap), Count(answers, Ask))
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON prints them as one object; docs/stig.md describes it.
func WriteJSON(w io.Writer, answers []Answer, host string, now time.Time) error {
	return doctor.WriteJSON(w, struct {
		Time      time.Time `json:"time"`
		Host      string    `json:"host"`
		Profile   string    `json:"profile"`
		Satisfied int       `json:"satisfied"`
		Gaps      int       `json:"gaps"`
		Ask       int       `json:"ask"`
		Answers   []Answer  `json:"answers"`
	}{now, host, "stig", Count(answers, Satisfied), Count(answers, Gap), Count(answers, Ask), answers})
}
