package record_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// TestTimeOf: every time can be written in every zone, and those that JSON has are what they were.
func TestTimeOf(t *testing.T) {
	for _, millis := range []int64{math.MinInt64, -1, 0, 1, 1_795_296_167_053, record.LastMillis, record.LastMillis + 1, 999_999_999_999_999, math.MaxInt64} {
		at := record.TimeOf(millis)
		for _, hours := range []int{-12, 0, 14} {
			if _, err := json.Marshal(at.In(time.FixedZone("", hours*3600))); err != nil {
				t.Errorf("%d: %v", millis, err)
			}
		}
		if usual := millis >= 0 && millis < record.LastMillis/2; usual && at.UnixMilli() != millis {
			t.Errorf("%d became %d", millis, at.UnixMilli())
		}
	}
}
