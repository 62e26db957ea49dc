package record_test

import (
	"math"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestPlainEndFindsWhatALoopFinds: eight bytes at once find what one after the other does.
func TestPlainEndFindsWhatALoopFinds(t *testing.T) {
	for n := range 20 {
		for at := range n + 1 {
			for c := range 256 {
				b := []byte(strings.Repeat("z", n))
				want := n
				if at < n {
					if b[at] = byte(c); !record.IsPlain(b[at]) {
						want = at
					}
				}
				if got := record.PlainEnd(b, 0); got != want {
					t.Fatalf("%q: ends at %d, want %d", b, got, want)
				}
			}
		}
	}
}

// TestOnlyPrintedNumbersAreRead: what %d, %u and %x print is read, and nothing else.
func TestOnlyPrintedNumbersAreRead(t *testing.T) {
	const no = math.MinInt64 // is no number here
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "-1": -1, "1000": 1000, "9223372036854775807": math.MaxInt64, "-9223372036854775807": -math.MaxInt64,
		"9223372036854775808": no, "-9223372036854775808": no, "18446744073709551617": no, "99999999999999999999": no,
		"": no, "-": no, "+1": no, "-0": no, "00": no, "01": no, "-01": no, "1a": no, " 1": no, "1 ": no,
	} {
		if n, ok := record.ParseInt([]byte(text)); ok != (want != no) || (ok && n != want) {
			t.Errorf("ParseInt(%q) = %d, %v", text, n, ok)
		}
	}

	for text, want := range map[string]bool{"0": true, "1000": true, "4294967294": true, "4294967295": false, "-1": false, "4294967296": false, "": false} {
		if _, ok := record.ParseID([]byte(text)); ok != want {
			t.Errorf("ParseID(%q): %v", text, ok)
		}
	}

	for text, want := range map[string]uint64{"0": 0, "fF": 255, "ffffffffffffffff": math.MaxUint64, "00000000000000010": 0, "g": 0, "": 0, "0x1": 0} {
		n, ok := record.ParseHex([]byte(text))
		if n != want || ok != (text == "0" || want != 0) {
			t.Errorf("ParseHex(%q) = %d, %v", text, n, ok)
		}
	}
}
