package json

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/format/jsontext"
)

// TestRestoreMakesNoOtherRecord: a newline in the name of a type, which no writer has, begins no record.
func TestRestoreMakesNoOtherRecord(t *testing.T) {
	for _, line := range []string{
		`{"id":"1.000:1","frame":0,"record_types":["X\ntype=LOGIN"],"raw":"audit(1.000:1): a=b"}`,
		`{"id":"1.000:1","frame":0,"record_types":["X\ntype=LOGIN"],"a":"b"}`,
		`{"id":"1.000:1","record_types":["X\ntype=LOGIN"],"a":"b"}`,
	} {
		event, err := jsontext.Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendRecords(nil, event); err == nil && strings.Count(string(got), "\n") != 1 {
			t.Errorf("%s makes %q", line, got)
		}
	}
}

// TestRestoreOfManyFields: an object may have as many fields as a line has room for, each of
// them odd.
func TestRestoreOfManyFields(t *testing.T) {
	const fields = 150_000
	var members, blanks, want strings.Builder
	for i := range fields {
		fmt.Fprintf(&members, `"k%d":"v",`, i)
		fmt.Fprintf(&blanks, `"k%d",`, i)
		fmt.Fprintf(&want, "  k%d=v", i)
	}
	line := `{"id":"1.000:1","record_types":["USER_LOGIN"],` + members.String() + `"blanks":[` + strings.TrimSuffix(blanks.String(), ",") + `]}`
	event, err := jsontext.Parse([]byte(line))
	if err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	got, err := AppendRecords(nil, event)
	if text := "type=USER_LOGIN msg=audit(1.000:1):" + want.String() + "\n"; err != nil || string(got) != text {
		t.Fatalf("%v, %d bytes, want %d: %.100q", err, len(got), len(text), got)
	}
	if took := time.Since(began); took > 30*time.Second { // it is one or two; a square is minutes
		t.Errorf("it took %v", took)
	}
}

// restored makes the records of a line again.
func restored(t *testing.T, line string) (string, error) {
	t.Helper()
	event, err := jsontext.Parse([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	out, err := AppendRecords(nil, event)
	return string(out), err
}

// TestRestoreKeepsToALimit: a short line cannot ask for more than memory holds, by what is written once for each record or
// each field.
func TestRestoreKeepsToALimit(t *testing.T) {
	long := strings.Repeat("n", 50_000)
	types := strings.TrimSuffix(strings.Repeat(`"EOE",`, 1000), ",")
	for line, want := range map[string]error{
		`{"id":"1.000:1","node":"` + long + `","record_types":[` + types + `]}`:                                        jsontext.ErrTooLarge,
		`{"id":"1.000:1","node":"n","record_types":[` + types + `]}`:                                                   nil,
		`{"id":"1.000:1","record_types":[` + strings.ReplaceAll(types, "EOE", "CWD") + `],"cwd":"` + long + `"}`:       jsontext.ErrTooLarge,
		`{"id":"1.000:1","record_types":[` + strings.ReplaceAll(types, "EOE", "EXECVE") + `],"args":["` + long + `"]}`: jsontext.ErrTooLarge,
	} {
		if out, err := restored(t, line); !errors.Is(err, want) || len(out) > jsontext.MaxRecords {
			t.Errorf("%.50s: %v, %d bytes", line, err, len(out))
		}
	}
	for _, line := range []string{
		`{"id":"1.000:1","record_types":["USER"],"x":"a","literal":{"x":"` + long + `"},"x":"a"}`,
		`{"id":"1.000:1","record_types":["USER"],"key":"a","keys":["` + long + `"],"key":"a","keys":[]}`,
		`{"id":"1.000:1","record_types":["USER","BPF"],"other_records":[{"type":"BPF","x":"a","x":"a"}]}`,
		`{"id":"1.000:1","record_types":["USER"],"msg":{"x":"a","x":"a"}}`,
	} {
		if out, err := restored(t, line); err == nil || !strings.Contains(err.Error(), "is there twice") {
			t.Errorf("%.50s: %v, %d bytes", line, err, len(out))
		}
	}
}

// TestRestoreOfManyRecords: of an event with very many members and records each is looked at once. Each for each other would
// take hours.
func TestRestoreOfManyRecords(t *testing.T) {
	const n = 300_000
	var members strings.Builder
	for i := range n {
		fmt.Fprintf(&members, `"k%d":"v",`, i)
	}
	list := func(item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	line := `{"id":"1.000:1",` + members.String() + `"record_types":["USER",` + list(`"BPF"`) + `],"other_records":[` + list(`{"type":"BPF"}`) + `]}`
	got, err := restored(t, line)
	if err != nil || strings.Count(got, "\n") != n+1 {
		t.Errorf("%v, %d records", err, strings.Count(got, "\n"))
	}
	line = `{"id":"1.000:1",` + members.String() + `"record_types":["USER",` + list(`"CWD"`) + `],"cwd":"/"}`
	if got, err = restored(t, line); err != nil || strings.Count(got, "\n") != n+1 {
		t.Errorf("%v, %d records", err, strings.Count(got, "\n"))
	}
}

// TestHeaderIsOneWord: neither id nor node makes another header.
func TestHeaderIsOneWord(t *testing.T) {
	for _, line := range []string{
		`{"id":"1.000:1","node":"n type=LOGIN msg=audit(2.000:9): x","record_types":["CWD"],"cwd":"/"}`,
		`{"id":"1.000:1): a=b type=x msg=audit(1.000:6","record_types":["CWD"],"cwd":"/"}`,
	} {
		if out, err := restored(t, line); err == nil {
			t.Errorf("%s makes %q", line, out)
		}
	}
}
