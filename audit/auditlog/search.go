package auditlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"audisp-relay/audit/record"
)

const (
	// A record is searched in so many bytes from where its time says, and in so
	// many before that: the clock may have been set back meanwhile.
	searchMax     = 1 << 30
	searchBackMax = 256 << 20
)

// search looks for the line with an identity.
type search struct {
	log    *Reader
	id     record.ID
	found  bool
	at     Position // where the line begins, if found
	end    Position // where the line ends
	closed error    // why a file that exists could not be read
}

// find searches for the line with that identity. Where it is not there, its place is
// where it would stand.
func (l *Reader) find(id record.ID) (s search, err error) {
	s = search{log: l, id: id}
	if err := l.begun(); err != nil {
		return s, err
	}
	from, err := l.firstAt(id.Millis-seekMargin, Position{})
	if err != nil {
		return s, err
	}
	if err = s.forward(from); err == nil {
		err = s.back(from)
	}
	switch {
	case s.found:
		return s, nil
	case err != nil:
		return s, err
	}

	s.at, err = l.nearest(id, from)
	s.end = s.at
	record := fmt.Sprintf("%s: record %d.%03d:%d", l.path, id.Millis/1000, id.Millis%1000, id.Serial)
	switch {
	case errors.Is(err, ErrGone):
		err = fmt.Errorf("%s %w: raise num_logs or max_log_file in auditd.conf", record, ErrGone)
	case err == nil:
		err = fmt.Errorf("%s %w", record, ErrAbsent)
	}
	if s.closed != nil {
		err = fmt.Errorf("%w; %w", err, s.closed)
	}
	return s, err
}

// forward searches from p to the end of the log.
func (s *search) forward(p Position) error {
	left := int64(searchMax)
	for _, f := range slices.Clone(s.log.files) {
		if f.gen < p.gen || s.found || left <= 0 {
			continue
		}
		from := p.in(f)
		if err := s.in(f, from, from+left); err != nil {
			return err
		}
		left -= f.size - from
	}
	return nil
}

// back searches what lies before p, the newest file first.
func (s *search) back(p Position) error {
	left := int64(searchBackMax)
	for _, f := range slices.Backward(slices.Clone(s.log.files)) {
		if f.gen > p.gen || s.found || left <= 0 {
			continue
		}
		to := f.size
		if f.gen == p.gen {
			to = p.Off
		}
		if err := s.in(f, max(0, to-left), to); err != nil {
			return err
		}
		left -= to
	}
	return nil
}

// in searches the lines of a file that begin from from to before to.
func (s *search) in(f *logFile, from, to int64) error {
	err := s.log.with(f, func(file *os.File) error {
		// The last line of audit.log itself is not there before its newline is.
		return s.log.eachLine(file, from, to, f != s.log.newest(), func(b *record.Batch, i int, at int64) bool {
			r := &b.Recs[i]
			if r.Serial != s.id.Serial || r.Millis != s.id.Millis || r.Type != s.id.Type || b.ID(i) != s.id {
				return true
			}
			s.found, s.at, s.end = true, Position{f.gen, at}, Position{f.gen, at + int64(r.Len)}
			return false
		})
	})
	if errors.Is(err, fs.ErrPermission) {
		s.closed = err
	}
	if err != nil && !unreachable(err) {
		return err
	}
	return nil
}
