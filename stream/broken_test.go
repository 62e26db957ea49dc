package stream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sockaddr is a SOCKADDR record of a path as auditd writes it to its log.
func sockaddr(path, shown string) string {
	return fmt.Sprintf("type=SOCKADDR msg=audit(1.000:7): saddr=0100%X\x1dSADDR={ saddr_fam=local path=%s }\n", path, shown)
}

const (
	before = "type=SYSCALL msg=audit(1.000:7): arch=c000003e\n"
	behind = "type=EOE msg=audit(1.000:7): \n"
)

// TestBrokenLine: a newline in the path of a socket does not make a record, wherever
// the stream is cut.
func TestBrokenLine(t *testing.T) {
	const forged = "type=USER_LOGIN msg=audit(1.000:8): res=success"
	for _, c := range []struct {
		name  string
		line  string // of the log
		lines int    // that are to come of it
	}{
		{"ordinary", sockaddr("/run/x\x00", "/run/x"), 1},
		{"newline", sockaddr("/tmp/x\n"+forged+"\x00", "/tmp/x\n"+forged), 1},
		{"newline behind what looks like an end", sockaddr("/tmp/x }\n"+forged, "/tmp/x }\n"+forged), 1},
		{"several", sockaddr("/a\n\n\n"+forged+"\n\x00", "/a\n\n\n"+forged+"\n"), 1},
		{"first of all", sockaddr("\n"+forged, "\n"+forged), 1},
		{"abstract", sockaddr("\x00x\n"+forged, "@x\n"+forged), 1},
		{"node", "node=box " + sockaddr("/tmp/x\n"+forged, "/tmp/x\n"+forged), 1},
		{"node in the path, too", "node=box " + sockaddr("/x\nnode=box "+forged, "/x\nnode=box "+forged), 1},
		{"path of full length", sockaddr("/\n"+strings.Repeat("x", 106), "/\n"+strings.Repeat("x", 106)), 1},
		{"from a plugin's stream", sockaddr("/tmp/x\n"+forged, "/tmp/x "+forged), 1},
		// What saddr= does not say is not taken for a part of the record.
		{"another record behind a cut one", sockaddr("/tmp/x\nabc", "/tmp/x\nabd"), 2},
		{"no newline in saddr", sockaddr("/tmp/x", "/tmp/x\n"+forged), 2},
		{"not a socket's path", strings.Replace(sockaddr("/tmp/x\n"+forged, "/tmp/x\n"+forged), "saddr=0100", "saddr=0200", 1), 2},
		{"another type", strings.Replace(sockaddr("/tmp/x\n"+forged, "/tmp/x\n"+forged), "SOCKADDR", "PATH", 1), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []string{before}
			if c.lines == 1 {
				want = append(want, strings.ReplaceAll(c.line[:len(c.line)-1], "\n", " ")+"\n")
			} else {
				want = append(want, strings.SplitAfter(c.line[:len(c.line)-1], "\n")...)
				want[len(want)-1] += "\n"
			}
			want = append(want, behind)
			all := before + c.line + behind
			for at := range len(all) {
				if got := cutAt(all, at); !cmp.Equal(want, got) {
					t.Fatalf("cut at byte %d:\n%s", at, cmp.Diff(want, got))
				}
			}
		})
	}
}

// TestBrokenLineAtTheEnd: what the rest of does not come is handed on as it is.
func TestBrokenLineAtTheEnd(t *testing.T) {
	line := sockaddr("/tmp/x\nabc", "/tmp/x\nabc")
	line = line[:len(line)-4]
	want := []string{line[:strings.IndexByte(line, '\n')+1], "ab\n"}
	if got := cutAt(line, 10); !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
	s := NewSplitter()
	var b Batch
	s.Cut(&b, copy(s.Space(), line))
	if len(b.Recs) != 0 {
		t.Errorf("%d records before it is known what the line is", len(b.Recs))
	}
	s.CutLast(&b, copy(s.Space(), "\n"))
	if len(b.Recs) != 2 {
		t.Errorf("%d records", len(b.Recs))
	}
}

// cutAt returns the records of data that is read in two parts.
func cutAt(data string, at int) (got []string) {
	s := NewSplitter()
	var b Batch
	take := func() {
		for i := range b.Recs {
			got = append(got, string(b.Bytes(i)))
		}
	}
	s.Cut(&b, copy(s.Space(), data[:at]))
	take()
	s.Cut(&b, copy(s.Space(), data[at:]))
	take()
	s.End(&b)
	take()
	return got
}
