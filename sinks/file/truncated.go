package file

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/sinks"
)

// Truncations by others are logged at most so often; the copy that was made before is looked
// for among files that were changed so short a time ago.
const (
	cutEvery = time.Minute
	copyAge  = time.Minute
)

// cuts counts truncations by others. Status reads it from any goroutine.
type cuts struct {
	times atomic.Uint64
	bytes atomic.Uint64 // that the file had
	at    time.Time     // the last one was logged; the writer's
}

// noteSize notices that another program has truncated the file: logrotate's copytruncate copies
// it and then cuts it to nothing, and what is written between the two is in neither. That was
// delivered, and it is not known which records it was; how much at most shows where the copy is
// still beside it.
func (w *writer) noteSize(size int64) {
	had := w.end
	if had == 0 || size >= had {
		return
	}
	w.end, w.partial = 0, 0
	if torn, err := w.endsTorn(size); err == nil && !w.midLine {
		w.torn = torn
	}
	w.cuts.times.Add(1)
	w.cuts.bytes.Add(uint64(had - size))
	if !w.cuts.at.IsZero() && time.Since(w.cuts.at) < cutEvery {
		return
	}
	w.cuts.at = time.Now()
	fields := []zap.Field{zap.String("path", w.cfg.Path), zap.Int64("bytes_before", had), zap.Int64("bytes_now", size), zap.Uint64("times", w.cuts.times.Load())}
	if name, copied := w.lastCopy(had); name != "" {
		fields = append(fields, zap.String("copy", name), zap.Int64("bytes_missing_at_most", had-copied))
	}
	w.log.Warn("file was truncated by another program: records written between its copy and that are lost; "+
		"let logrotate rename it instead (nocreate and a SIGHUP, no copytruncate), or set max_size and take it out of logrotate", fields...)
}

// lastCopy finds the copy that was made last of a file which had that many bytes, and its size.
func (w *writer) lastCopy(had int64) (name string, size int64) {
	base := filepath.Base(w.cfg.Path)
	var last int64
	for _, n := range w.dir.Rotations(base) {
		if n == base || filepath.Ext(n) == gzSuffix {
			continue
		}
		st, err := w.dir.Lstat(n)
		if err != nil || !regular(&st) || st.Size > had || time.Since(time.Unix(st.Mtim.Unix())) > copyAge {
			continue
		}
		if at := unix.TimespecToNsec(st.Mtim); at > last {
			name, size, last = n, st.Size, at
		}
	}
	return name, size
}

// Details say how often others have truncated the file under the sink, and what it held: some of
// that may be nowhere.
type Details struct {
	Truncated      uint64 `json:"truncated,omitempty"`
	TruncatedBytes uint64 `json:"truncated_bytes,omitempty"`
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	line("truncated by others", fmt.Sprintf("%d times (%d bytes)", d.Truncated, d.TruncatedBytes))
}

func (w *writer) Extra(s *sinks.Status) {
	s.Details = &Details{w.cuts.times.Load(), w.cuts.bytes.Load()}
	if flaw := w.flaw.Load(); flaw != nil {
		s.Flaw = *flaw
	}
}
