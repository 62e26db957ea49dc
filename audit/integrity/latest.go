package integrity

// Latest is the latest time of the last few hundred records. An event's time is that
// of the beginning of its system call, which may have waited for hours, so that one
// record says little of when it was written; the latest of many does. It is not the
// latest there ever was: a clock that is set back is followed.
type Latest struct {
	at   int64 // of the last latestRun to 2*latestRun records
	half int64 // of the records since the last step
	n    int
}

const latestRun = 256

// Add takes in n records, the latest with that time, and returns At.
func (l *Latest) Add(millis int64, n int) int64 {
	if l.n == 0 || millis > l.half {
		l.half = millis
	}
	l.at = max(l.at, millis)
	if l.n += n; l.n >= latestRun {
		l.at, l.n = l.half, 0
	}
	return l.at
}

// At returns the latest time, 0 when there was no record.
func (l *Latest) At() int64 { return l.at }
