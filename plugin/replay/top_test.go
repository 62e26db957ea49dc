package replay

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"audisp-relay/plugin/top"
)

// TestTopAgreesWithExplain: both read the same programs, keys and events in a stream. Top does not
// put events together: where a read ended within one whose key is not in its SYSCALL record, the
// rest of it counts as without.
func TestTopAgreesWithExplain(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-raw.log.gz"} {
		in := []string{filepath.Join("../../testdata/captures", name)}
		x, _, err := Explain(context.Background(), Stored{Inputs: in})
		if err != nil {
			t.Fatal(err)
		}
		r, counts, err := Top(context.Background(), in, "")
		if err != nil {
			t.Fatal(err)
		}
		if r.Start.Records != float64(x.Records) || r.Start.Records != float64(counts.Records) || r.Start.Seconds <= 0 {
			t.Errorf("%s: %+v, want %d records", name, r.Start, x.Records)
		}
		for kind, want := range map[string]map[string]*Volume{"exe": x.ByExe, "key": x.ByKey} {
			if len(r.By[kind]) != len(want) {
				t.Errorf("%s: %d of kind %s, want %d", name, len(r.By[kind]), kind, len(want))
			}
			for _, row := range r.By[kind] {
				id := row.Name
				if row.None {
					id = "(none)"
				}
				if v := want[id]; v == nil || math.Abs(row.Start.Records-float64(v.Records)) > r.Start.Records/100 || math.Round(row.Start.Events) != float64(v.Events) {
					t.Errorf("%s: %s %q: %+v, want %+v", name, kind, id, row.Start, v)
				}
			}
		}
	}
}

// TestTopOfInterleavedEvents: records of two events that stand among each other are counted for
// their own.
func TestTopOfInterleavedEvents(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in")
	const text = `type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=2 success=yes exit=3 auid=1000 uid=0 exe="/bin/a" key="a"
type=SYSCALL msg=audit(1.000:2): arch=c000003e syscall=2 success=yes exit=3 auid=1000 uid=0 exe="/bin/b" key="b"
type=PATH msg=audit(1.000:1): item=0 name="x"
type=PATH msg=audit(1.000:2): item=0 name="x"
type=EOE msg=audit(1.000:2): 
type=EOE msg=audit(1.000:1): 
no record
`
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, err := Top(context.Background(), []string{in}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.By["exe"] {
		want := top.Volume{Records: 3, Events: 1}
		if row.None {
			want.Records = 1
		}
		if row.Start.Records != want.Records || row.Start.Events != want.Events {
			t.Errorf("%+v", row)
		}
	}
	if len(r.By["exe"]) != 3 {
		t.Errorf("%+v", r.By["exe"])
	}
}
