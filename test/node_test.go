package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// nodeSinks have one stream each in their own way; %s is the address of a syslog server.
const nodeSinks = `
[sinks.kept]
type = "file"
path = "DIR/kept"
max_size = "0"
[sinks.bare]
type = "file"
path = "DIR/bare"
max_size = "0"
node = "strip"
[sinks.named]
type = "file"
path = "DIR/named"
max_size = "0"
node = "add"
[sinks.loghost]
type = "syslog"
transport = "tcp"
address = "%s"
framing = "octet-counted"
max_message = "64KiB"
node = "strip"
`

var nodePrefix = regexp.MustCompile(`(?m)^node=\S* `)

// syslogServer writes what connections send to a file, one after the other, and returns its address.
func syslogServer(t *testing.T, path string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-ended; f.Close() })
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(f, conn) // a connection that breaks: the test sees what is missing
			conn.Close()
		}
	}()
	return ln.Addr().String()
}

// textsOf returns the HOSTNAME and the text of each message, one on a line, which octet-counted messages of
// RFC 5424 have.
func textsOf(data []byte) (lines []byte, err error) {
	for len(data) > 0 {
		digits, rest, _ := bytes.Cut(data, []byte(" "))
		n, err := strconv.Atoi(string(digits))
		if err != nil || n > len(rest) {
			return lines, fmt.Errorf("no message: %.80q", data)
		}
		fields := bytes.SplitN(rest[:n], []byte(" "), 8)
		if len(fields) != 8 {
			return lines, fmt.Errorf("no header: %.80q", rest)
		}
		lines = fmt.Appendf(lines, "%s %s\n", fields[2], fields[7])
		data = rest[n:]
	}
	return lines, nil
}

// asMessages returns what textsOf is to return of a stream of lines; other is the name of this host.
func asMessages(stream []byte, other string) (lines []byte) {
	for line := range bytes.Lines(stream) {
		host, text := []byte(other), line
		if prefix := nodePrefix.Find(line); prefix != nil {
			host, text = prefix[len("node="):len(prefix)-1], line[len(prefix):]
		}
		lines = fmt.Appendf(lines, "%s %s", host, bytes.Replace(text, []byte{0x1D}, []byte{' '}, 1))
	}
	return lines
}

// TestNodeOfEachSink: each sink has node= as its key says, whatever the records came in.
func TestNodeOfEachSink(t *testing.T) {
	t.Parallel()
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, lines string }{
		{"audit-3.0.9-node.string.gz", "audit-3.0.9-node.string.gz"},
		{"audit-3.0.9-node.binary.gz", "audit-3.0.9-node.string.gz"},
		{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-enriched.string.gz"},
	} {
		t.Run(c.in, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			messages := filepath.Join(dir, "messages")
			r := start(t, dir, "qos = \"lossless\"\n"+fmt.Sprintf(nodeSinks, syslogServer(t, messages)), nil)
			want := captures.Read(t, c.lines)
			r.write(captures.Read(t, c.in))
			n := uint64(bytes.Count(want, []byte("\n")))
			for _, sink := range []string{"kept", "bare", "named", "loghost"} {
				until(t, sink+" has all records", func() bool { return r.consumer(sink).Delivered == n })
			}
			r.end()

			sameFile(t, filepath.Join(dir, "kept"), want)
			sameFile(t, filepath.Join(dir, "bare"), nodePrefix.ReplaceAll(want, nil))
			sameFile(t, filepath.Join(dir, "named"), regexp.MustCompile(`(?m)^type=`).ReplaceAll(want, []byte("node="+own+" type=")))
			eventually(t, "the messages of the syslog server", func() error {
				data, err := os.ReadFile(messages)
				if err != nil {
					return err
				}
				got, err := textsOf(data)
				if err == nil && !bytes.Equal(got, asMessages(want, own)) {
					err = fmt.Errorf("%d bytes: %.300q", len(got), got)
				}
				return err
			})
		})
	}
}

// TestLiveNodeStripped: with name_format = hostname a sink that keeps node= has the lines of audit.log, one
// that takes it out has the same lines without, and a syslog server has the name as HOSTNAME.
func TestLiveNodeStripped(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	messages := filepath.Join(tempDir(t), "messages")
	l := startLive(t, fmt.Sprintf(nodeSinks, syslogServer(t, messages)), lab.Options{NameFormat: "HOSTNAME"}, "string")
	files := []string{l.path("kept"), l.path("bare"), l.path("named"), messages}
	after := l.Drain(files...)
	load := l.Load(lab.Load{Rate: 2000, Duration: seconds(1)})
	end := l.Drain(files...)
	rep := l.exact("kept", after, end, l.path("kept"))
	if got, logged := rep.EOE+rep.EOEMissing, l.logHas(load).Events; got < logged {
		t.Errorf("%d events arrived of %d", got, logged)
	}

	kept := linesTo(t, l.path("kept"), end)
	if nodes := len(nodePrefix.FindAll(kept, -1)); nodes != bytes.Count(kept, []byte("\n")) {
		t.Errorf("auditd wrote node= into %d of %d lines", nodes, bytes.Count(kept, []byte("\n")))
	}
	if bare := linesTo(t, l.path("bare"), end); !bytes.Equal(bare, nodePrefix.ReplaceAll(kept, nil)) {
		t.Errorf("without node= the lines are others: %.300q", bare)
	}
	if named := linesTo(t, l.path("named"), end); !bytes.Equal(named, kept) {
		t.Errorf("node= was put in beside auditd's: %.300q", named)
	}
	data, err := os.ReadFile(messages)
	if err != nil {
		t.Fatal(err)
	}
	got, err := textsOf(data) // the last message may be on its way
	if want := asMessages(kept, own); !bytes.HasPrefix(got, want) {
		t.Errorf("messages: %d bytes, want %d: %.300q; %v", len(got), len(want), got, err)
	}
}

// linesTo returns a file's lines up to the one with the mark.
func linesTo(t *testing.T, path, mark string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k := bytes.Index(data, []byte(mark))
	if k < 0 {
		t.Fatalf("%s has no mark %s", path, mark)
	}
	return data[:k+bytes.IndexByte(data[k:], '\n')+1]
}
