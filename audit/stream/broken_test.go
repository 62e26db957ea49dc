package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
)

// printer prints an address as a version of auditd does.
type printer struct {
	name    string
	fam     string // the name of the family's field
	all     bool   // a path is printed whole, not 108 bytes of it
	short   int    // an AF_UNIX address with fewer bytes is not printed
	ax25    int    // nor an AF_AX25 one
	newline string // what a newline in it becomes
}

// printers are what auditd writes to its log, and in the end what it gives to plugins.
var printers = []printer{
	{"2.8.5", "fam", true, 0, 0, "\n"},
	{"3.0.9", "saddr_fam", false, 4, 0, "\n"},
	{"4.2.1", "saddr_fam", false, 4, 16, "\n"},
	{"stream of 2.8.5", "fam", true, 0, 0, " "},
	{"stream of 4.2.1", "saddr_fam", false, 4, 16, " "},
}

// print returns the names after a SOCKADDR record.
func (p printer) print(saddr []byte) string {
	upTo := func(limit, from int) string {
		text := saddr[min(from, len(saddr)):]
		text = text[:min(len(text), limit)]
		if nul := bytes.IndexByte(text, 0); nul >= 0 {
			text = text[:nul]
		}
		return strings.ReplaceAll(string(text), "\n", p.newline)
	}
	form := func(fam, rest string) string { return "SADDR={ " + p.fam + "=" + fam + " " + rest }
	if len(saddr) < 2 || saddr[1] != 0 {
		return "SADDR=unknown-family(512)"
	}
	switch saddr[0] {
	case 1:
		limit := 108
		switch {
		case len(saddr) < p.short:
			return form("local", "sockaddr len too short }")
		case len(saddr) > 2 && saddr[2] == 0:
			return form("local", "path="+upTo(limit, 3)+" }")
		case p.all:
			limit = 128
		}
		return form("local", "path="+upTo(limit, 2)+" }")
	case 3:
		if len(saddr) < p.ax25 {
			return form("ax25", "sockaddr len too short }")
		}
		call := upTo(7, 2)
		if len(call) == 7 { // a NUL ends all of it
			call += " }"
		}
		return form("ax25", "call="+call)
	case 9:
		return form("x25", "laddr="+upTo(15, 2)+" }")
	case 10:
		return form("inet6", "laddr=::1 lport=80 }")
	case 16:
		return form("netlink", "nlnk-fam=16 nlnk-pid=0 }")
	}
	return form("vsock", "(unsupported) }")
}

func (p printer) record(head string, saddr []byte) string {
	return fmt.Sprintf("%ssaddr=%X\x1d%s\n", head, saddr, p.print(saddr))
}

const (
	before = "type=SYSCALL msg=audit(1.000:7): arch=c000003e\n"
	head   = "type=SOCKADDR msg=audit(1.000:7): "
	after  = "type=PROCTITLE msg=audit(1.000:7): proctitle=6C73\n"
	forged = "type=USER_LOGIN msg=audit(1.000:8): res=success"
)

// whole1 is a record as it has to come out.
func whole1(record string) string {
	return strings.ReplaceAll(record[:len(record)-1], "\n", " ") + "\n"
}

// TestBrokenLine: newlines in a socket's address make no record, whatever auditd prints
// of it and wherever the log is cut; what follows is not taken for a part of it.
func TestBrokenLine(t *testing.T) {
	const f = "\n" + forged
	x := func(n int) string { return strings.Repeat("x", n) }
	type address struct{ name, fam, bytes string }
	addresses := []address{
		{"ordinary", "\x01\x00", "/run/x\x00"},
		{"newline", "\x01\x00", "/tmp/x" + f + "\x00"},
		{"no NUL at the end", "\x01\x00", "/tmp/x" + f},
		{"after what looks like an end", "\x01\x00", "/tmp/x }" + f + " }"},
		{"several", "\x01\x00", "/a\n\n\n" + forged + "\n\x00"},
		{"only newlines", "\x01\x00", strings.Repeat("\n", 126)},
		{"first of all", "\x01\x00", f},
		{"path with @", "\x01\x00", "@" + f},
		{"path with @@", "\x01\x00", "@@x" + f},
		{"abstract", "\x01\x00", "\x00x" + f},
		{"abstract with @", "\x01\x00", "\x00@" + f},
		{"abstract, newline first", "\x01\x00", "\x00" + f},
		{"abstract, not printed", "\x01\x00", "\x00\x00" + f},
		{"after the NUL", "\x01\x00", "/x\x00" + f},
		{"short", "\x01\x00", "\n"},
		{"unnamed", "\x01\x00", ""},
		{"own separator", "\x01\x00", "/x\x1dSADDR={ saddr_fam=local path=" + f},
		{"own address", "\x01\x00", "/\ntype=SOCKADDR msg=audit(1.000:9): saddr=01000A\x1dSADDR={ saddr_fam=local path=\n"},
		{"node", "\x01\x00", "/x\nnode=box " + forged},
		{"x25", "\x09\x00", "\ntype=EVIL a=1\x00"},
		{"x25 of full length", "\x09\x00", "1\ntype=EVIL a=\n" + forged},
		{"ax25", "\x03\x00", "\ntype=E" + x(20)},
		{"ax25 with a NUL", "\x03\x00", "a\nb\x00" + x(20)},
		{"ax25 that is short", "\x03\x00", "\nab"},
		{"inet6", "\x0a\x00", "80 }" + f},
		{"netlink", "\x10\x00", "16 nlnk-pid=0 }" + f},
		{"vsock", "\x28\x00", " }" + f},
		{"an unknown family", "\x01\x02", "/x" + f},
		{"a family alone", "", "\n"},
	}
	for _, n := range []int{107, 108, 109, 110, 126} { // bytes of path
		addresses = append(addresses,
			address{fmt.Sprint(n, " bytes"), "\x01\x00", "/" + f + x(n-1-len(f))},
			address{fmt.Sprint(n, " bytes, abstract"), "\x01\x00", "\x00" + f + x(n-1-len(f))},
			address{fmt.Sprint(n, " bytes, newline last"), "\x01\x00", "/" + f + x(n-2-len(f)) + "\n"},
			address{fmt.Sprint("one newline, at ", n-1), "\x01\x00", "/" + x(n-2) + "\n" + x(126-n)},
			address{fmt.Sprint("one newline, at ", n-1, " after an end"), "\x01\x00", "/" + x(n-4) + " }\n" + x(126-n)},
		)
	}
	for _, a := range addresses {
		for _, p := range printers {
			for _, head := range []string{head, "node=box " + head, "type=USER_AUTH msg=audit(1.000:7): pid=1 msg='"} {
				line := p.record(head, []byte(a.fam+a.bytes))
				for _, last := range []string{"", after} {
					want := []string{before, whole1(line)}
					if last != "" {
						want = append(want, last)
					}
					all := before + line + last
					// Each place is the one where it is cut for some address or other.
					for at := rand.N(60); at < len(all); at += 1 + rand.N(60) {
						if got := cutAt(all, at); !cmp.Equal(want, got) {
							t.Fatalf("%s, %s, cut at byte %d:\n%s", a.name, p.name, at, cmp.Diff(want, got))
						}
					}
				}
			}
		}
	}
}

// TestNewlineThatNoAddressHas: what follows such a line is a record.
func TestNewlineThatNoAddressHas(t *testing.T) {
	ok := printers[1].record(head, []byte("\x01\x00/tmp/x\n"+forged))
	for name, line := range map[string]string{
		"no newline in saddr":          strings.Replace(ok, "0A", "2E", 1),
		"a family that is not printed": strings.Replace(ok, "saddr=0100", "saddr=0200", 1),
		"a type that has no address":   strings.Replace(ok, "SOCKADDR", "PATH", 1),
		"no address":                   strings.Replace(ok, " saddr=", " laddr=", 1),
		"no names":                     strings.Replace(ok, "\x1d", " ", 1),
		"another place":                strings.Replace(ok, "path=/tmp/x", "path=/tmp/xx", 1),
	} {
		want := strings.SplitAfter(before+line+after, "\n")
		want = want[:len(want)-1]
		if got := cutAt(before+line+after, 60); !cmp.Equal(want, got) {
			t.Errorf("%s:\n%s", name, cmp.Diff(want, got))
		}
	}
}

// TestHostileBrokenLine: text of a program may have a separator in every byte, and each
// may look as if an address followed. That costs the reader no more than other text.
func TestHostileBrokenLine(t *testing.T) {
	const start, lines = "type=USER_LOGIN msg=audit(1.000:7): pid=1 msg='saddr=0100", 200
	printed := "\x1dSADDR={ saddr_fam=local path=x"
	for name, text := range map[string]string{
		"separators": strings.Repeat("\x1d", record.MaxRecord),
		"addresses":  "0A" + strings.Repeat("\x1dSADDR={ x ", record.MaxRecord/len("\x1dSADDR={ x ")),
		"digits":     strings.Repeat("11", 100) + strings.Repeat("\x1d", record.MaxRecord),
	} {
		line := []byte(start + text[:record.MaxRecord-len(start)-len(printed)-1] + printed + "\n")
		began := time.Now()
		for range lines {
			if k := broken(line, len(line), true); k != 0 {
				t.Fatalf("%s: a record of %d bytes", name, k)
			}
		}
		if took := time.Since(began); took > 20*time.Second { // it is one at most; a square is minutes
			t.Errorf("%s: %d lines took %v", name, lines, took)
		}
	}
}

// TestTornBrokenLine: where the log was cut within such a record, by a full disk or a
// loss of power, no part of it is a record, and the next one is none of it.
func TestTornBrokenLine(t *testing.T) {
	line := printers[1].record(head, []byte("\x01\x00/tmp/x\n\n"+forged+"\nabc\x00"))
	first := strings.IndexByte(line, '\n') + 1
	for at := first; at < len(line); at++ {
		torn := line[:at]
		glued := torn[len(torn)-1] != '\n'
		for _, next := range []string{"", after, "node=box " + after} {
			got := cutAt(before+torn+next+before, 100)
			want := []string{before, whole1(torn + "\n")}
			switch {
			case glued:
				want = []string{before, whole1(torn + next)}
				if next == "" {
					want[1] = whole1(torn + before)
					want = append(want, "")[:2]
					break
				}
				want = append(want, before)
			default:
				want[1] = whole1(torn)
				if next != "" {
					want = append(want, next)
				}
				want = append(want, before)
			}
			if !cmp.Equal(want, got) {
				t.Errorf("cut at %d, then %q:\n%s", at-first, next, cmp.Diff(want, got))
			}
		}
		// Nothing comes any more.
		if got := cutAt(before+torn, 100); len(got) != 2 {
			t.Errorf("cut at %d, the end: %q", at-first, got)
		}
	}
}

// TestBrokenLineWaits: it is not handed on before it is known what it is.
func TestBrokenLineWaits(t *testing.T) {
	line := printers[1].record(head, []byte("\x01\x00/tmp/x\nabc"))
	line = line[:len(line)-4]
	s := NewSplitter()
	var b record.Batch
	s.Cut(&b, copy(s.Space(), line))
	if len(b.Recs) != 0 {
		t.Errorf("%d records before it is known what the line is", len(b.Recs))
	}
	s.CutRest(&b)
	if len(b.Recs) != 1 || s.Counts().Records != 1 {
		t.Errorf("%d records", len(b.Recs))
	}
}

// FuzzBrokenLine: of a log with an address between records exactly the records come,
// whichever version of auditd has printed it.
func FuzzBrokenLine(f *testing.F) {
	f.Add([]byte("\x01\x00/tmp/x\n"+forged), uint16(60))
	f.Add([]byte("\x01\x00@\n"+forged), uint16(200))
	f.Add([]byte("\x01\x00"+strings.Repeat("x }\n", 31)), uint16(300))
	f.Add([]byte("\x09\x00\n\n }\n"+forged), uint16(300))
	f.Add([]byte("\x03\x00\n\n }\n"+forged), uint16(300))
	f.Fuzz(func(t *testing.T, saddr []byte, at uint16) {
		if len(saddr) > addressSize {
			saddr = saddr[:addressSize]
		}
		sameRecords(t, saddr, int(at))
	})
}

// TestRandomAddresses tries addresses that the fuzzer does not find.
func TestRandomAddresses(t *testing.T) {
	pieces := []string{"\n", "\n", "\x00", " }", "@", "/", "x", "xxxxxxx", forged, "type=EVIL a=1", "\x1d", "SADDR={ saddr_fam=local path=",
		"type=SOCKADDR msg=audit(1.000:9): saddr=01000A", after}
	for range 5000 {
		saddr := []byte{[]byte{1, 1, 1, 3, 9, 2, 16}[rand.N(7)], 0}
		for size := 2 + rand.N(addressSize-1); len(saddr) < size; {
			saddr = append(saddr, pieces[rand.N(len(pieces))]...)
		}
		sameRecords(t, saddr[:min(len(saddr), addressSize)], rand.N(400))
	}
}

func sameRecords(t *testing.T, saddr []byte, at int) {
	t.Helper()
	for _, p := range printers {
		line := p.record(head, saddr)
		all := before + line + after + before
		want := []string{before, whole1(line), after, before}
		if got := cutAt(all, min(at, len(all))); !cmp.Equal(want, got) {
			t.Fatalf("%s, %q, cut at byte %d:\n%s", p.name, saddr, at, cmp.Diff(want, got))
		}
	}
}

// cutAt returns the records of data that is read in two parts.
func cutAt(data string, at int) (got []string) {
	s := &Splitter{buf: make([]byte, 4<<10)} // a large one takes long to make
	var b record.Batch
	take := func() {
		for i := range b.Recs {
			got = append(got, string(b.Bytes(i)))
		}
	}
	s.Cut(&b, copy(s.Space(), data[:min(at, len(data))]))
	take()
	s.Cut(&b, copy(s.Space(), data[min(at, len(data)):]))
	take()
	s.End(&b)
	take()
	return got
}
