package event

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
)

// TestSerialFromTheFuture: a forged event, however far ahead its serial and its time are, disturbs the order for some seconds alone.
func TestSerialFromTheFuture(t *testing.T) {
	s := newSorted(t, SorterOptions{})
	now := audittest.Epoch
	word := func(serial, sec int) string { return fmt.Sprintf("%d@%d", serial, audittest.Epoch.Unix()+int64(sec)) }
	forged := word(7+1<<30, 1_000_000)
	s.Add(events(t, word(7, 0), forged, word(8, 0)), now)
	now = now.Add(SortWait)
	s.Expire(now)
	now = now.Add(10 * time.Second)
	s.Add(events(t, word(9, 12), word(11, 12), word(10, 12)), now)
	s.Flush()
	want := []string{word(7, 0), word(8, 0), forged, word(9, 12), word(10, 12), word(11, 12)}
	if got := withoutPlaces(s.out); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}
