package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseWhen(t *testing.T) {
	zone := time.FixedZone("x", 3600)
	now := time.Date(2026, 3, 1, 13, 30, 15, 500, zone)
	day := func(month time.Month, day, hour, minute, second int) time.Time {
		return time.Date(2026, month, day, hour, minute, second, 0, zone)
	}
	for word, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"3d":                        now.Add(-72 * time.Hour),
		"0s":                        now,
		"now":                       now,
		"today":                     day(3, 1, 0, 0, 0),
		"yesterday":                 day(2, 28, 0, 0, 0),
		"13:30":                     day(3, 1, 13, 30, 0),
		"13:31":                     day(2, 28, 13, 31, 0),
		"13:30:15":                  day(3, 1, 13, 30, 15),
		"2026-02-28":                day(2, 28, 0, 0, 0),
		"2026-02-28 14:05":          day(2, 28, 14, 5, 0),
		"2026-02-28T14:05:06":       day(2, 28, 14, 5, 6),
		"2026-02-28T14:05:06Z":      day(2, 28, 15, 5, 6),
		"2026-02-28T14:05:06+01:00": day(2, 28, 14, 5, 6),
	} {
		got, err := parseWhen("--since", word, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", word, got, err, want)
		}
	}

	for word, want := range map[string]string{
		"":                     "want 10m",
		"-10m":                 "want 10m",
		"tomorrow":             "want 10m",
		"25:00":                "want 10m",
		"99999999d":            "want 10m",
		"2026-03-02":           "not come yet",
		"2027-01-01T00:00:00Z": "not come yet",
	} {
		if got, err := parseWhen("--since", word, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want an error with %q", word, got, err, want)
		}
	}
}
