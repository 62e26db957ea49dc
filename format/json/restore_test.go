package json

import (
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
