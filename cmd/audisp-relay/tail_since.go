package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseWhen returns the time that a word means: that long ago, a time of day (the last time
// that it was), a day's beginning, or a point in time. flag is the option that has the word, for
// errors: "--since".
func parseWhen(flag, word string, now time.Time) (time.Time, error) {
	if ago, ok := parseAgo(word); ok {
		return now.Add(-ago), nil
	}
	midnight := func(days int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+days, 0, 0, 0, 0, now.Location())
	}
	switch word {
	case "now":
		return now, nil
	case "today":
		return midnight(0), nil
	case "yesterday":
		return midnight(-1), nil
	}

	for _, layout := range []string{"15:04", "15:04:05"} {
		if at, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			return lastClock(at, now), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			if at.After(now) {
				return at, fmt.Errorf("%s %s: that time has not come yet", flag, word)
			}
			return at, nil
		}
	}
	return now, fmt.Errorf("%s %q: want 10m, 2h30m or 3d, 14:05, now, today, yesterday, 2026-01-31, \"2026-01-31 14:05\", or RFC 3339", flag, word)
}

// parseAgo reads a duration, which may be in days.
func parseAgo(word string) (time.Duration, bool) {
	const longest = 100 * 365
	if digits, ok := strings.CutSuffix(word, "d"); ok {
		if days, err := strconv.ParseUint(digits, 10, 16); err == nil && days <= longest {
			return time.Duration(days) * 24 * time.Hour, true
		}
	}
	ago, err := time.ParseDuration(word)
	return ago, err == nil && ago >= 0
}

// lastClock returns the last time before now that the clock showed what it shows at that time.
func lastClock(at, now time.Time) time.Time {
	day := now.Day()
	for {
		last := time.Date(now.Year(), now.Month(), day, at.Hour(), at.Minute(), at.Second(), 0, now.Location())
		if !last.After(now) {
			return last
		}
		day--
	}
}
