package test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/test/lab"
)

// TestLiveForgedLine: whoever connects to a socket whose path has a newline puts a
// line of his own into audit.log. It becomes no record here, neither while the log
// leads nor from the log itself.
func TestLiveForgedLine(t *testing.T) {
	l := startLive(t, fileOnly, lab.Options{}, "string")
	l.Ctl("-a", "always,exit", "-F", "arch=b64", "-S", "connect", "-F", fmt.Sprintf("pid=%d", os.Getpid()), "-k", "forged")
	l.Drain(l.path("out"))
	for i := range 5 {
		now := time.Now()
		forged := fmt.Sprintf("type=USER_LOGIN msg=audit(%d.%03d:%d): op=login res=success", now.Unix(), now.Nanosecond()/1e6, 5_000_000+i)
		if conn, err := net.Dial("unix", "/tmp/x }\n"+forged); err == nil {
			conn.Close()
			t.Fatal("a process listens there")
		}
	}
	l.Drain(l.path("out"))
	broken := 0
	log, err := os.ReadFile(l.Log())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.HasPrefix(line, "type=USER_LOGIN ") {
			broken++
		}
	}
	t.Logf("%d forged lines in audit.log", broken)
	for _, path := range []string{l.path("out"), l.Log()} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := stream.NewReader(f)
		whole := 0
		var b record.Batch
		for r.Next(&b) == nil {
			for i := range b.Recs {
				text := string(b.Bytes(i))
				if strings.HasPrefix(text, "type=USER_LOGIN ") {
					t.Errorf("%s: a forged record: %q", path, text)
				}
				if strings.Contains(text, "path=/tmp/x } type=USER_LOGIN ") && strings.HasSuffix(text, "res=success }\n") {
					whole++
				}
			}
		}
		if whole != 5 {
			t.Errorf("%s: %d of 5 addresses are whole", path, whole)
		}
	}
}
