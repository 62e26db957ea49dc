package laurel

import (
	"bytes"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
	"audisp-relay/testdata/captures"
)

// back makes the records of a line again.
func back(t *testing.T, line []byte) string {
	t.Helper()
	event, err := jsontext.Parse(line)
	if err != nil || !IsEvent(event) {
		t.Fatalf("%v: %s", err, line)
	}
	out, err := AppendRecords(nil, event)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return string(out)
}

// TestRecordsComeBack: most records of a capture come back byte by byte, and all in a form of which the same
// line is made again.
func TestRecordsComeBack(t *testing.T) {
	for _, name := range captures.Names(t, "*.string.gz") {
		same, all := 0, 0
		var enc format.Encoder
		e := New(Options{})
		for _, b := range wholeEvents(captures.Read(t, name)) {
			line := e.AppendEvent(nil, &b, 0, len(b.Recs))
			text := back(t, line)
			for k := range b.Recs {
				if b.Recs[k].Type == record.TypeEOE {
					continue
				}
				all++
				if strings.Contains(text, strings.TrimRight(string(enc.Append(nil, b, k)), " \n\x00")+"\n") {
					same++
				}
			}
			if b.Recs[0].HasID() && len(text) > 0 && !bytes.Contains(line, []byte(`"RAW`)) && !bytes.Contains(line, []byte(`#2`)) {
				again := wholeEvents([]byte(text))
				if got := e.AppendEvent(nil, &again[0], 0, len(again[0].Recs)); !bytes.Equal(got, line) {
					t.Errorf("%s:\n got %s\nwant %s\nfrom %s", name, got, line, text)
				}
			}
		}
		if same*100 < all*80 {
			t.Errorf("%s: %d of %d records came back", name, same, all)
		}
		t.Logf("%s: %d of %d records", name, same, all)
	}
}

// TestLaurelsOwnLines: what laurel adds to an event is left out.
func TestLaurelsOwnLines(t *testing.T) {
	for line, want := range map[string]string{
		`{"ID":"1.000:5","SYSCALL":{"arch":"0xc000003e","syscall":59,"success":"yes","exit":0,"items":2,"ppid":1,"pid":2,"auid":4294967295,"tty":"pts0","comm":"cat","key":null,"PPID":{"EVENT_ID":"x","comm":"sh"},"ARCH":"x86_64","SYSCALL":"execve","AUID":"unset","ARGV":["0x1","0x2"]},"EXECVE":{"argc":3,"ARGV":["cat","a%20b",null]},"PARENT_INFO":{"ID":"y","comm":"sh"}}`: "type=SYSCALL msg=audit(1.000:5): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 items=2 ppid=1 pid=2 auid=4294967295 tty=pts0 comm=\"cat\" key=(null)\x1dARCH=x86_64 SYSCALL=execve AUID=\"unset\"\n" +
			"type=EXECVE msg=audit(1.000:5): argc=3 a0=\"cat\" a1=612062\n",
		`{"ID":"1.000:5","NODE":"n","AVC":[{"pid":7,"scontext":"a","denied":["read","write"]}],"SOCKADDR":[{"saddr":"%01%00/","SADDR":"{saddr_fam=local path=/}"}]}`: "node=n type=AVC msg=audit(1.000:5): avc:  denied  { read write } for  pid=7 scontext=a\n" +
			"node=n type=SOCKADDR msg=audit(1.000:5): saddr=01002F\x1dSADDR={ saddr_fam=local path=/ }\n",
		`{"ID":null,"RAW":"any%25 words"}`: "any% words\n",
	} {
		if got := back(t, []byte(line)); got != want {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
	}
}
