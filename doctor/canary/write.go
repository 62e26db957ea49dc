package canary

import (
	"fmt"
	"io"
	"strings"

	"audisp-relay/doctor"
)

// WriteText prints the result for a person.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, made at %s\n", r.ID, r.Time.Format("2006-01-02 15:04:05.000"))
	for _, a := range r.Arrivals {
		when := "              "
		if a.By != "" {
			when = fmt.Sprintf("%9.1f ms  ", a.MS)
		}
		fmt.Fprintf(&b, "  %-24s %-10s %s %s\n", a.Place, a.Fate, when, strings.TrimSpace(a.By+" "+a.Text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON prints it as one object; docs/operating.md describes it.
func (r *Result) WriteJSON(w io.Writer) error {
	return doctor.WriteJSON(w, r)
}
