package overview

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Numbers are shown in at most five letters, so that columns stand still while they grow.

// Count shows a number of records: as it is up to four digits, then in thousands and so on.
func Count(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	value, unit := float64(n), -1
	for value >= 999.5 && unit < len("kMGTPE")-1 {
		value /= 1000
		unit++
	}
	return threeDigits(value) + "kMGTPE"[unit:unit+1]
}

// Rate shows records in a second.
func Rate(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond) || perSecond <= 0:
		return "0"
	case perSecond < 9.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	case perSecond > math.MaxInt64:
		return "?"
	}
	return Count(uint64(math.Round(perSecond)))
}

// Bytes shows a size, in units of 1024.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(max(n, 0), 10)
	}
	value, unit := float64(n), -1
	for value >= 999.5 && unit < len("KMGTPE")-1 {
		value /= 1024
		unit++
	}
	return threeDigits(value) + "KMGTPE"[unit:unit+1]
}

// threeDigits shows a number below a thousand (1024, rounded) in four letters at most.
func threeDigits(value float64) string {
	switch {
	case value < 9.995:
		return fmt.Sprintf("%.2f", value)
	case value < 99.95:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// Age shows how long something takes or is ago, in one unit. Clocks may differ, so that it may
// be negative, which is nothing.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// seconds is Age of a number of seconds that a report has.
func seconds(s float64) string {
	if math.IsNaN(s) || s <= 0 || s > math.MaxInt64/float64(time.Second) {
		return "-"
	}
	return Age(time.Duration(s * float64(time.Second)))
}

// plural is a number and what it counts.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
