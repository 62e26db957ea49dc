package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What real auditds wrote to their log and to a plugin in the same run.
func TestCompareCaptures(t *testing.T) {
	tests := []struct {
		name string
		how  Compare
		want Report
	}{
		{"audit-3.0.9-raw", Compare{Raw: true}, Report{LogLines: 811, StreamLines: 967, EOE: 156}},
		{"audit-3.0.9-enriched", Compare{}, Report{LogLines: 811, StreamLines: 967, EOE: 156}},
		// The capture begins after a SYSCALL record whose EOE is in it.
		{"audit-3.0.9-node", Compare{}, Report{LogLines: 809, StreamLines: 965, EOE: 156, EOEExtra: 1}},
		{"audit-4.2.1-enriched", Compare{}, Report{LogLines: 815, StreamLines: 971, EOE: 156}},
		// 4.2.1 cuts the last 16 bytes of every kernel record in RAW, which of an EOE
		// leaves no id. The two whole ones are auditd's own.
		{"audit-4.2.1-raw", Compare{Raw: true}, Report{LogLines: 811, StreamLines: 967, EOE: 156, Altered: 809,
			EOEMissing: 156, EOECut: 156}},
		// audispd puts node= on the stream, auditd was not configured to.
		{"audit-2.8.5-audispd", Compare{Raw: true, StripNode: true}, Report{LogLines: 811, StreamLines: 967, EOE: 156}},
		{"audit-2.8.5-audispd", Compare{Raw: true}, Report{LogLines: 811, StreamLines: 967, EOE: 156, Missing: 811, Extra: 811}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := filepath.Join("..", "..", "testdata", "captures", tt.name)
			got, err := CompareLog([]string{base + ".log.gz"}, []string{base + ".string.gz"}, tt.how)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Report{}, "Examples")); diff != "" {
				t.Errorf("report (-want +got):\n%s%s", diff, got)
			}
		})
	}
}

const (
	recA = "type=SYSCALL msg=audit(1.000:1): a\n"
	recB = "type=PATH msg=audit(1.000:1): item=0\n"
	recC = "type=PATH msg=audit(1.000:1): item=1 \n"
	eoe1 = "type=EOE msg=audit(1.000:1):\n"
	recD = "type=USER msg=audit(2.000:2): mark-1\n"
	mark = "type=DAEMON_ERR msg=audit(2.500:77): op=relay-loss sink=a cause=queue-full records=5 events=1 first=4 last=4 res=failed mac=00112233445566778899aabbccddeeff\n"
	conf = "type=DAEMON_CONFIG msg=audit(3.000:7): op=reconfigure state=changed res=success\n"
)

func TestCompareFindsFaults(t *testing.T) {
	tests := []struct {
		name        string
		log, stream string
		how         Compare
		want        Report
	}{
		{"equal", recA + recB + recD, recA + recB + eoe1 + recD, Compare{}, Report{}},
		{"missing", recA + recB + recD, recA + eoe1 + recD, Compare{}, Report{Missing: 1}},
		{"duplicate", recA + recB, recA + recB + recB + eoe1, Compare{}, Report{Duplicate: 1}},
		{"equal lines of the log", recB + recB, recB + recB, Compare{}, Report{}},
		{"one of two equal lines", recB + recB, recB, Compare{}, Report{Missing: 1}},
		{"extra", recA, recA + eoe1 + recD, Compare{}, Report{Extra: 1}},
		{"altered", recA + recD, recA + eoe1 + strings.Replace(recD, "mark", "lark", 1), Compare{}, Report{Altered: 1}},
		{"other order", recB + recD, recD + recB, Compare{}, Report{OutOfOrder: 1}},
		{"no EOE", recA, recA, Compare{}, Report{EOEMissing: 1}},
		{"two EOE", recA, recA + eoe1 + eoe1, Compare{}, Report{EOEExtra: 1}},
		{"cut EOE", recA, recA + eoe1 + "type=EOE msg=audit(1.0\n", Compare{}, Report{EOECut: 1}},
		{"cut EOE of no type", recA, recA + eoe1 + "type=E\n", Compare{}, Report{Extra: 1}},
		{"marker", recA + recD, recA + eoe1 + mark + recD, Compare{}, Report{Markers: 1}},
		{"two records run together", recA + recB + recD, recA + eoe1 + recB[:10] + recD, Compare{}, Report{Missing: 2, Extra: 1}},
		{"a cut copy beside the whole", recA + recB, recA + recB[:34] + "\n" + recB + eoe1, Compare{}, Report{Extra: 1}},
		{"trailing space", "type=PATH msg=audit(1.000:1): item=1\n", recC, Compare{}, Report{Altered: 1}},
		{"trailing space of RAW", "type=PATH msg=audit(1.000:1): item=1\n", recC, Compare{Raw: true}, Report{}},
		{"reload is never dispatched", recB + conf, recB, Compare{}, Report{LogOnly: 1}},
		{"last line torn", recB + recD, recB + recD[:len(recD)-3], Compare{}, Report{Altered: 1}},
		{"after a mark", recA + recD + recB, recD + recB, Compare{After: "mark-1"}, Report{}},
		{"up to a mark", recD + recB, recD, Compare{Until: "mark-1"}, Report{}},
		{"empty stream", recB + recD, "", Compare{}, Report{Missing: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			log, stream := filepath.Join(dir, "log"), filepath.Join(dir, "stream")
			writeFile(t, log, tt.log)
			writeFile(t, stream, tt.stream)
			got, err := CompareLog([]string{log}, []string{stream}, tt.how)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Report{}, "Examples", "LogLines", "StreamLines", "EOE")); diff != "" {
				t.Errorf("report (-want +got):\n%s%s", diff, got)
			}
			left := tt.want
			for _, judge := range []struct {
				name   string
				says   bool
				forget []*int
			}{
				{"OK", got.OK(), []*int{&left.LogOnly}},
				{"Once", got.Once(), []*int{&left.EOEMissing, &left.EOEExtra, &left.Markers}},
				{"SameSet", got.SameSet(), []*int{&left.Duplicate, &left.OutOfOrder}},
			} {
				for _, n := range judge.forget {
					*n = 0
				}
				if clean := cmp.Equal(left, Report{}); clean != judge.says {
					t.Errorf("%s() = %v for %s", judge.name, judge.says, got)
				}
			}
		})
	}
	t.Run("no start mark", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		writeFile(t, path, recA)
		if _, err := CompareLog([]string{path}, []string{path}, Compare{After: "nowhere"}); err == nil {
			t.Error("no error for a mark that is not there")
		}
	})
}

func TestSeenFindsHoles(t *testing.T) {
	line := func(n string) string {
		return `type=SYSCALL msg=audit(1.0:1): key="labload"` + "\n" + `type=PATH msg=audit(1.0:1): name="/d/f` + n + "\"\n"
	}
	path := filepath.Join(t.TempDir(), "stream")
	writeFile(t, path, line("000000")+line("000001")+line("000004")+line("000000"))
	got, err := LoadResult{Files: 5, Dir: "/d"}.Seen(path)
	if err != nil {
		t.Fatal(err)
	}
	want := LoadSeen{Events: 4, Paths: 4, Missing: 2, Holes: []string{"f000002 … f000003 after 2 events"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestCountStringAcrossReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	// One occurrence lies over the end of the reader's first megabyte.
	writeFile(t, path, strings.Repeat("x", 1<<20-2)+"mark"+strings.Repeat("y", 100)+"mark")
	if n, err := CountString(path, "mark"); err != nil || n != 2 {
		t.Errorf("CountString = %d, %v; want 2", n, err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMarkers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream")
	writeFile(t, path, recA+mark+recD)
	got, err := Markers(path)
	want := []Marker{{ID: "2.500:77", Sink: "a", Cause: "queue-full", Records: 5, Events: 1, First: 4, Last: 4, MAC: "00112233445566778899aabbccddeeff", Line: strings.TrimSuffix(mark, "\n")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{
		strings.Replace(mark, " records=5", "", 1), strings.Replace(mark, "=5", "=-5", 1), strings.Replace(mark, "first=4", "first=4294967296", 1),
		strings.Replace(mark, "res=failed", "res=failed x=1", 1), strings.Replace(mark, "sink=a cause=queue-full", "cause=queue-full sink=a", 1),
	} {
		writeFile(t, path, bad)
		if got, err := Markers(path); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}
