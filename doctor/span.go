package doctor

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// spanUnits are the units of systemd.time(7), by each of their names. A month has 30.44 days there, a year 365.25.
var spanUnits = map[string]time.Duration{
	"usec": time.Microsecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"msec": time.Millisecond, "ms": time.Millisecond,
	"seconds": time.Second, "second": time.Second, "sec": time.Second, "s": time.Second, "": time.Second,
	"minutes": time.Minute, "minute": time.Minute, "min": time.Minute, "m": time.Minute,
	"hours": time.Hour, "hour": time.Hour, "hr": time.Hour, "h": time.Hour,
	"days": spanDay, "day": spanDay, "d": spanDay,
	"weeks": 7 * spanDay, "week": 7 * spanDay, "w": 7 * spanDay,
	"months": spanDay * 3044 / 100, "month": spanDay * 3044 / 100, "M": spanDay * 3044 / 100,
	"years": spanDay * 36525 / 100, "year": spanDay * 36525 / 100, "y": spanDay * 36525 / 100,
}

const spanDay = 24 * time.Hour

// parseSpan reads a time span of systemd: "30", "1min 30s", "1.5h"; a number without a unit is of seconds. It is false
// for what is none, for "infinity", and for what is too long for a Duration.
func parseSpan(text string) (time.Duration, bool) {
	const blanks, digits = " \t\r\n", ".0123456789"
	rest, sum := strings.Trim(text, blanks), 0.0
	if rest == "" {
		return 0, false
	}
	for rest != "" {
		after := strings.TrimLeft(rest, digits)
		number, err := strconv.ParseFloat(rest[:len(rest)-len(after)], 64)
		after = strings.TrimLeft(after, blanks)
		rest = strings.TrimLeftFunc(after, unicode.IsLetter)
		unit, known := spanUnits[after[:len(after)-len(rest)]]
		if err != nil || !known {
			return 0, false
		}
		sum += number * float64(unit)
		rest = strings.TrimLeft(rest, blanks)
	}
	if sum >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(sum), true
}
