package json

import (
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// FuzzAppendEvent reads bytes as a stream of either framing; every event must be one strict
// line from which its records can be rebuilt.
func FuzzAppendEvent(f *testing.F) {
	doc := readDoc(f)
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-2.8.5-audispd.string.gz"} {
		lines := strings.SplitAfter(string(captures.Read(f, name)), "\n")
		for i := 0; i+6 < len(lines); i += 6 {
			if data := strings.Join(lines[i:i+6], ""); len(data) < 3000 {
				f.Add([]byte(data))
			}
		}
	}
	head := "type=SYSCALL msg=audit(1.000:1): "
	for _, v := range hostileValues {
		f.Add([]byte(head + "auid=" + v + " comm=" + v + " a0=" + v + " tty=" + v + " msg='op=" + v + " acct=" + v + "' key=" + v + "\n"))
		f.Add([]byte("type=SOCKADDR msg=audit(1.000:1): saddr=" + v + "\n"))
		f.Add(stream.AppendFrame(stream.AppendFrame(nil, 0, 1307, []byte("audit(1.000:1): cwd="+v)), 1, 1327, []byte("type=PROCTITLE msg=audit(1.000:1): proctitle="+v)))
	}
	for _, s := range []string{
		"type=LOGIN msg=audit(1.000:1): login pid=1 uid=0 subj=a old auid=-1 new auid=0 old ses=1  new ses=2\x1dUID=\"root\" AUID=\"unset\" AUID=\"root\"\n",
		"type=USER_AVC msg=audit(1.000:1): pid=1 msg='avc:  denied  { a b } for  seresult=x user=y  exe='z'  'UID=\"root\"\n",
		"type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=469 info=\"a b\" key=6162 id=-1 ARCH=x86_64 SYSCALL=unknown-syscall(469) ID=\"unset\"\n",
		"type=USER msg=audit(1.000:1): uid=0 msg='op='\x1dUID=\"a\" B={ c'\x1dUID=\"b\" SADDR={ '\x1d }\n",
	} {
		f.Add([]byte(s))
	}
	e := New(Options{Users: fakeUsers{}})
	f.Fuzz(func(t *testing.T, data []byte) {
		audittest.Events(t, data, func(b *record.Batch, i, j int) { checkEvent(t, doc, e, b, i, j) })
	})
}
