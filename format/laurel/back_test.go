package laurel

import (
	"bytes"
	"errors"
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
		// What is known of the process and which rules hold is of no record.
		`{"ID":"1.000:5","SYSCALL":{"syscall":59,"pid":2,"ARGV":["0x1"],"EXE_HASH":"00ff","SCRIPT":"/srv/x.sh","LABELS":["up"]},"RULES":["one","two"]}`: "type=SYSCALL msg=audit(1.000:5): syscall=59 pid=2 a0=1\n",
		// laurel 0.8 takes a program's text apart.
		`{"ID":"1.000:5","USER_LOGIN":{"pid":1,"msg":{"op":"login","exe":"/usr/sbin/sshd","addr":"192.0.2.1","terminal":null,"res":"success"},"UID":"root"}}`: "type=USER_LOGIN msg=audit(1.000:5): pid=1 msg='op=login exe=\"/usr/sbin/sshd\" addr=192.0.2.1 terminal=? res=success'\x1dUID=\"root\"\n",
		// A newline was in a frame, and begins no record.
		`{"ID":"1.000:5","USER_LOGIN":{"pid":1,"msg":"op=x%0atype=LOGIN msg=audit(1.000:6): y"}}`: "type=USER_LOGIN msg=audit(1.000:5): pid=1 msg='op=x type=LOGIN msg=audit(1.000:6): y'\n",
		`{"ID":"1.000:5","CWD":{"RAW":"a%0atype=LOGIN msg=audit(1.000:6): y"}}`:                   "type=CWD msg=audit(1.000:5): a type=LOGIN msg=audit(1.000:6): y\n",
		`{"ID":null,"RAW":"a%0atype=LOGIN msg=audit(1.000:6): y"}`:                                "a type=LOGIN msg=audit(1.000:6): y\n",
	} {
		if got := back(t, []byte(line)); got != want {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
	}
}

// TestFieldsAndTypesOfOurNames: a field or a type that is called as a member of ours is not taken for that.
func TestFieldsAndTypesOfOurNames(t *testing.T) {
	const id = " msg=audit(1.000:5): "
	for _, text := range []string{
		"type=SOCKADDR" + id + "saddr=01\x1dSADDR={ saddr_fam=local path=x } RAW=forged }\n",
		"type=PROCTITLE" + id + "proctitle=\"x\" ARGV=\"y\"\n",
		"type=USER_CMD" + id + "pid=1 RAW=harmless cmd=\"rm\"\n",
		"type=USER_CMD" + id + "RAW=\"harmless\" pid=1\n",
		"type=EXECVE" + id + "argc=1 a0=\"x\" ARGV=\"y\"\n",
		"type=SYSCALL" + id + "syscall=59 a0=1 a1=2 items=1 ARGV=3\n",
		"type=RULES" + id + "a=b\n",
		"type=ID" + id + "a=b\n",
		"type=RAW" + id + "a=b\n",
	} {
		b := wholeEvents([]byte(text))[0]
		line := New(Options{}).AppendEvent(nil, &b, 0, len(b.Recs))
		if got := back(t, line); got != text {
			t.Errorf("%s\n got %q\nwant %q", line, got, text)
		}
	}
}

// TestRulesAreOfNoRecord: an event that rules hold for comes back.
func TestRulesAreOfNoRecord(t *testing.T) {
	const text = "type=CWD msg=audit(1.000:5): cwd=\"/\"\n"
	b := wholeEvents([]byte(text))[0]
	line := Kind.AddRules(New(Options{}).AppendEvent(nil, &b, 0, len(b.Recs)), []string{"one"})
	if got := back(t, line); got != text {
		t.Errorf("%s\n got %q", line, got)
	}
}

// TestRestoreKeepsToALimit: a long name in front of each of many records does not fill the memory.
func TestRestoreKeepsToALimit(t *testing.T) {
	records := strings.TrimSuffix(strings.Repeat("{},", 1000), ",")
	for line, want := range map[string]error{
		`{"ID":"1.000:5","NODE":"` + strings.Repeat("n", 60_000) + `","PATH":[` + records + `]}`: jsontext.ErrTooLarge,
		`{"ID":"1.000:5","NODE":"n","PATH":[` + records + `]}`:                                   nil,
	} {
		event, err := jsontext.Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := AppendRecords(nil, event); !errors.Is(err, want) || len(out) > jsontext.MaxRecords {
			t.Errorf("%.50s: %v, %d bytes", line, err, len(out))
		}
	}
}

// TestHeaderIsOneWord: neither ID nor NODE makes another header.
func TestHeaderIsOneWord(t *testing.T) {
	for _, line := range []string{
		`{"ID":"1.000:5","NODE":"n type=LOGIN msg=audit(2.000:9): x","CWD":{"cwd":"/"}}`,
		`{"ID":"1.000:5): a=b type=x msg=audit(1.000:6","CWD":{"cwd":"/"}}`,
		`{"ID":null,"CWD":{"cwd":"/"}}`,
	} {
		event, err := jsontext.Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := AppendRecords(nil, event); err == nil {
			t.Errorf("%s makes %q", line, out)
		}
	}
}
