package recent

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"audisp-relay/state"
)

// period is what losses are summed up over, so how exact an answer is.
const period = 5 * time.Minute

// kept is how far back losses are known.
const kept = 24 * time.Hour

// maxPeriods bounds the periods kept.
const maxPeriods = int(kept/period) + 1

// Losses is what was lost within the last day, by cause. The zero value has none.
type Losses struct {
	list []state.LossPeriod // those with losses, oldest first
}

// Add counts records that were lost now. There are only as many causes as the caller has names.
func (l *Losses) Add(now time.Time, cause string, records uint64) {
	if records > 0 {
		l.add(now.Truncate(period).Unix(), cause, records)
		l.trim(now)
	}
}

func (l *Losses) add(from int64, cause string, records uint64) {
	i, found := slices.BinarySearchFunc(l.list, from, func(p state.LossPeriod, from int64) int {
		return cmp.Compare(p.From, from)
	})
	if !found {
		l.list = slices.Insert(l.list, i, state.LossPeriod{From: from, Records: make(map[string]uint64)})
	}
	l.list[i].Records[cause] += records
}

// trim drops what is older than a day. Of what a clock that is set back has put into the future, a
// day is kept as well.
func (l *Losses) trim(now time.Time) {
	l.list = slices.DeleteFunc(l.list, func(p state.LossPeriod) bool {
		at := time.Unix(p.From, 0)
		return now.Sub(at) >= kept+period || at.Sub(now) > kept
	})
	if n := len(l.list) - maxPeriods; n > 0 {
		l.list = slices.Delete(l.list, 0, n)
	}
}

// Since returns the records lost since d ago, by cause, never nil. It may have those of up to five
// minutes more.
func (l *Losses) Since(now time.Time, d time.Duration) map[string]uint64 {
	sum := make(map[string]uint64)
	for _, p := range l.list {
		if now.Sub(time.Unix(p.From, 0)) < d+period {
			for cause, n := range p.Records {
				sum[cause] += n
			}
		}
	}
	return sum
}

// Saved returns a copy, to be kept over a restart.
func (l *Losses) Saved() []state.LossPeriod {
	var list []state.LossPeriod
	for _, p := range l.list {
		list = append(list, state.LossPeriod{From: p.From, Records: maps.Clone(p.Records)})
	}
	return list
}

// Restore adds what an earlier run has saved, as far as it is not too old. Of more periods than one saves the last count.
func (l *Losses) Restore(now time.Time, saved []state.LossPeriod) {
	for _, p := range saved[max(0, len(saved)-maxPeriods):] {
		for cause, n := range p.Records {
			l.add(p.From, cause, n)
		}
	}
	l.trim(now)
}
