package jsontext

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

// A time is what package time makes of it, whatever was written before.
func TestStampIsRFC3339(t *testing.T) {
	millis := rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(1795296166000, 1795296168000), rapid.Int64Range(-5000, record.LastMillis))
	rapid.Check(t, func(t *rapid.T) {
		var s Stamp
		for _, ms := range rapid.SliceOf(millis).Draw(t, "times") {
			want := time.UnixMilli(ms).UTC().Format(`"2006-01-02T15:04:05.000Z"`)
			if got := string(s.Append(nil, ms)); got != want {
				t.Errorf("%d: %s, want %s", ms, got, want)
			}
		}
	})
	var s Stamp
	if got := string(s.Append([]byte("x"), record.LastMillis+1)); got != "xnull" {
		t.Errorf("after the year 9999: %s", got)
	}
}
