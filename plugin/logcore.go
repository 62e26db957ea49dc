package plugin

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"audisp-relay/config"
)

// Bounds of what is kept of a log that cannot be written.
const (
	maxKept     = 64      // lines, each of another message or sink
	maxKeptLine = 8 << 10 // bytes of a line
)

// logEvery is how often at most a log that cannot be written is tried with lines that wait.
const logEvery = time.Second

// logPlace is where the lines of the log go: syslog, a file or stderr. It waits for a moment at
// most, and takes a line whole or not at all.
type logPlace interface {
	put(e zapcore.Entry, line []byte) error
	close()
}

// logQueue gives lines to a place. While that takes none the last line of each message is
// kept for each sink: a loss that is logged once must not be lost with the syslog daemon.
type logQueue struct {
	place logPlace

	mu    sync.Mutex // guards what follows, and place
	kept  []keptLine // oldest first
	late  int        // lines that were written after they had been kept
	lost  uint64     // lines that were neither written nor kept
	fault error      // why the place takes nothing
	tried time.Time
}

type keptLine struct {
	key   string // message and sink
	entry zapcore.Entry
	line  []byte
}

// put writes a line, or keeps it.
func (q *logQueue) put(key string, e zapcore.Entry, line []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flush(e.Time)
	if len(q.kept) == 0 {
		if q.fault = q.place.put(e, line); q.fault == nil {
			return
		}
		q.tried = e.Time
	}
	q.keep(keptLine{key, e, slices.Clone(line)})
}

// keep makes room for the line where another of its kind, or the oldest one, is.
func (q *logQueue) keep(l keptLine) {
	if len(l.line) > maxKeptLine {
		q.lost++
		return
	}
	i := slices.IndexFunc(q.kept, func(k keptLine) bool { return k.key == l.key })
	if i < 0 && len(q.kept) == maxKept {
		i = 0
	}
	if i >= 0 {
		q.kept = slices.Delete(q.kept, i, i+1)
		q.lost++
	}
	q.kept = append(q.kept, l)
}

// flush writes what was kept, as far as the place takes it.
func (q *logQueue) flush(now time.Time) {
	if len(q.kept) == 0 || (now.Sub(q.tried) < logEvery && now.After(q.tried)) {
		return
	}
	q.tried = now
	for len(q.kept) > 0 {
		if q.fault = q.place.put(q.kept[0].entry, q.kept[0].line); q.fault != nil {
			return
		}
		q.kept = slices.Delete(q.kept, 0, 1)
		q.late++
	}
}

// retry is flush for when there is nothing to say. It returns how many lines have come late
// once none waits any more, and how many are lost in all.
func (q *logQueue) retry(now time.Time) (late int, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flush(now)
	if len(q.kept) > 0 {
		return 0, q.lost
	}
	late, q.late = q.late, 0
	return late, q.lost
}

// state returns what the status says of the log.
func (q *logQueue) state() (fault string, waiting int, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if place, ok := q.place.(*fileOrSyslog); ok {
		fault = place.fault()
	} else if q.fault != nil {
		fault = q.fault.Error()
	}
	return fault, len(q.kept), q.lost
}

// reserve says what a file must not be from now on.
func (q *logQueue) reserve(not []config.Reserved) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if place, ok := q.place.(*fileOrSyslog); ok {
		_ = place.do(func() error { place.file.reserve(not); return nil }) // to a disk that hangs nothing is written anyway
	}
}

// close tries once more.
func (q *logQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tried = time.Time{}
	q.flush(time.Now())
	q.place.close()
}

// logCore makes lines of entries.
type logCore struct {
	zapcore.LevelEnabler
	enc  zapcore.Encoder
	sink string // of the fields that all its entries have
	to   *logQueue
}

func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	enc := c.enc.Clone()
	for _, f := range fields {
		f.AddTo(enc)
	}
	return &logCore{LevelEnabler: c.LevelEnabler, enc: enc, sink: sinkOf(fields, c.sink), to: c.to}
}

func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	text, err := c.enc.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer text.Free()
	c.to.put(e.Message+"\x00"+sinkOf(fields, c.sink), e, text.Bytes())
	return nil
}

// Sync does nothing: lines are written at once.
func (c *logCore) Sync() error { return nil }

// sinkOf returns the sink that the fields are about, or otherwise.
func sinkOf(fields []zap.Field, otherwise string) string {
	for i := range fields {
		if fields[i].Key == "sink" && fields[i].Type == zapcore.StringType {
			return fields[i].String
		}
	}
	return otherwise
}
