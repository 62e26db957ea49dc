package auditlog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// brokenRecord is one whose address has newlines, as it stands in the log; after them
// are lines of that serial and time that are no records.
func brokenRecord(n, serial int, seconds int64) string {
	path := fmt.Sprintf("/x }\ntype=USER_LOGIN msg=audit(%d.000:%d): res=success\ntype=EOE msg=audit(%d.000:%d): ", seconds, serial, seconds, serial)
	return fmt.Sprintf("type=SOCKADDR msg=audit(%d.%03d:%d): saddr=0100%X\x1dSADDR={ saddr_fam=local path=%.108s }\n",
		1700000000+n/1000, n%1000, n, path, path)
}

// TestSeekAmongForgedLines: whatever is searched for, a place in the log is the begin
// of a record, and it is found by the times of records alone.
func TestSeekAmongForgedLines(t *testing.T) {
	a := startFake(t, t.TempDir(), 5)
	var text strings.Builder
	begins := map[int64]int{} // of records, which one it is
	const records = 9000
	for n := range records {
		begins[int64(text.Len())] = n
		if n%3 == 0 {
			text.WriteString(brokenRecord(n, 7_000_000+n, []int64{1_600_000_000, 1_800_000_000}[n/3%2]))
			continue
		}
		text.WriteString(logLine(n, 0))
	}
	a.write(text.String())
	begins[int64(text.Len())] = records
	l := New(a.path)
	l.linear, l.probe = 1000, 700
	for n := 2500; n < records+3000; n += 97 {
		p, _, err := l.SeekTime(1_700_000_000_000+int64(n), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := begins[p.Off]; !ok || got != min(n-seekMargin, records) {
			t.Fatalf("time of record %d: at byte %d, record %d (%v), want %d", n, p.Off, got, ok, n-seekMargin)
		}
	}
	for n := 3; n < records; n += 900 {
		if p, err := l.SeekAt(idOf(brokenRecord(n, 7_000_000+n, []int64{1_600_000_000, 1_800_000_000}[n/3%2]))); err != nil || begins[p.Off] != n {
			t.Errorf("record %d: at byte %d, %v", n, p.Off, err)
		}
		forged := idOf(fmt.Sprintf("type=USER_LOGIN msg=audit(%d.000:%d): res=success\n", []int64{1_600_000_000, 1_800_000_000}[n/3%2], 7_000_000+n))
		if _, err := l.SeekAt(forged); !errors.Is(err, ErrGone) && !errors.Is(err, ErrAbsent) {
			t.Errorf("the forged line of record %d is found: %v", n, err)
		}
	}
}

// TestSeekEndWithinARecord: auditd writes a record with newlines in two parts. What
// has been seen of it is no end to continue from.
func TestSeekEndWithinARecord(t *testing.T) {
	before := strings.Repeat(logLine(1, 0), 1000)
	line := brokenRecord(2, 5, 1_700_000_000)
	for at := len(line); at >= 0; at -= 3 {
		a := startFake(t, t.TempDir(), 5)
		a.write(before + line[:at])
		l := New(a.path)
		p, err := l.SeekEnd()
		want := int64(len(before))
		if at == len(line) {
			want += int64(at)
		}
		if err != nil || p.Off != want {
			t.Errorf("with %d bytes of the record: at %d, want %d: %v", at, p.Off, want, err)
		}
		if err := l.Go(p); err != nil {
			t.Fatal(err)
		}
		a.write(line[at:] + logLine(3, 0))
		want1 := strings.ReplaceAll(line[:len(line)-1], "\n", " ") + "\n" + logLine(3, 0)
		if got := poll(t, l); got != want1 && (at < len(line) || got != logLine(3, 0)) {
			t.Errorf("with %d bytes of the record: %q", at, got)
		}
		l.Close()
		a.f.Close()
	}
}

// TestForgedLinesAtTheEndOfAFile: a record that is torn off at the end of a file that
// was rotated is one record nevertheless.
func TestForgedLinesAtTheEndOfAFile(t *testing.T) {
	line := brokenRecord(2, 5, 1_700_000_000)
	for at := strings.IndexByte(line, '\n') + 1; at < len(line); at++ {
		a := startFake(t, t.TempDir(), 5)
		a.write(logLine(1, 0) + line[:at])
		a.rotate(nil)
		a.write(logLine(3, 0))
		l := New(a.path)
		got := strings.SplitAfter(poll(t, l), "\n")
		if len(got) != 4 || got[0] != logLine(1, 0) || !strings.HasPrefix(got[1], "type=SOCKADDR ") || got[2] != logLine(3, 0) {
			t.Errorf("with %d bytes of the record: %q", at, got)
		}
		l.Close()
		a.f.Close()
		os.Remove(a.path)
	}
}
