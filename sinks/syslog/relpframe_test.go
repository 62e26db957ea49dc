package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFrame(t *testing.T) {
	tests := []struct {
		in   string
		want relpFrame
		n    int // -1: refused
	}{
		{"", relpFrame{}, 0},
		{"1", relpFrame{}, 0},
		{"1 rsp 6 200 O", relpFrame{}, 0},
		{"1 rsp 6 200 OK", relpFrame{}, 0},
		{"1 rsp 6 200 OK\n2 rsp", relpFrame{1, "rsp", []byte("200 OK")}, 15},
		{"999999999 rsp 6 200 OK\n", relpFrame{maxTxnr, "rsp", []byte("200 OK")}, 23},
		{"0 serverclose 0\n", relpFrame{0, "serverclose", []byte{}}, 16},
		{"0 serverclose 0 \n", relpFrame{0, "serverclose", []byte{}}, 17},
		{"0 serverclose 0 ", relpFrame{}, 0},
		{"1 rsp 3 \n\n\n\n", relpFrame{1, "rsp", []byte("\n\n\n")}, 12},
		{"1 rsp 6\n", relpFrame{}, -1},
		{"1 rsp 6 200 OK!", relpFrame{}, -1},
		{"1 rsp 0 x", relpFrame{}, -1},
		{"1000000000 rsp 0\n", relpFrame{}, -1},
		{"9999999999999999999999999999", relpFrame{}, -1},
		{" rsp 0\n", relpFrame{}, -1},
		{"-1 rsp 0\n", relpFrame{}, -1},
		{"1\trsp 0\n", relpFrame{}, -1},
		{"1  0\n", relpFrame{}, -1},
		{"1 r2p 0\n", relpFrame{}, -1},
		{"1 " + strings.Repeat("a", 32) + " 0\n", relpFrame{1, strings.Repeat("a", 32), []byte{}}, 37},
		{"1 " + strings.Repeat("a", 33), relpFrame{}, -1},
		{"1 rsp \n", relpFrame{}, -1},
		{"1 rsp 16385", relpFrame{}, -1},
		{"1 rsp 99999999999999999999", relpFrame{}, -1},
		{"HTTP/1.1 400 Bad Request\r\n", relpFrame{}, -1},
		{"\x15\x03\x01", relpFrame{}, -1},
	}
	for _, tt := range tests {
		f, n, err := parseFrame([]byte(tt.in))
		if tt.n < 0 {
			if !errors.Is(err, errNotRELP) || n != 0 {
				t.Errorf("%q: %v, %d, %v; want it refused", tt.in, f, n, err)
			}
			continue
		}
		if d := cmp.Diff(tt.want, f, cmp.AllowUnexported(relpFrame{})); d != "" || n != tt.n || err != nil {
			t.Errorf("%q: %d bytes, want %d, %v: %s", tt.in, n, tt.n, err, d)
		}
	}
}

func TestParseResponse(t *testing.T) {
	for in, want := range map[string]string{
		"200 OK": "200 OK", "200": "200 ", "500 no\ncommands=syslog": "500 no", "200\n": "200 ",
		"": "", "OK": "", "20 OK": "", "2000": "", "2x0 OK": "", "-20 x": "",
	} {
		code, text, err := parseResponse([]byte(in))
		got := fmt.Sprintf("%d %s", code, text)
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", in, got, want)
		}
	}
}

func TestCheckOffers(t *testing.T) {
	for in, want := range map[string]string{
		openAnswer: "",
		"200 OK\ncommands=eventlog,syslog\nrelp_version=1":    "",
		"200 OK\nrelp_version=0\ncommands=eventlog,syslogger": "does not offer",
		"200 OK":                 "does not offer",
		"500 syslog not allowed": `500 "syslog not allowed"`,
		"":                       "not RELP",
	} {
		err := checkOffers([]byte(in))
		if (err != nil) != (want != "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

// FuzzParseFrame: nothing is read beyond the frame, a frame says the same when it
// is written again, and no part of it is taken for a frame or for nonsense.
func FuzzParseFrame(f *testing.F) {
	for _, s := range []string{"1 rsp 6 200 OK\n", "0 serverclose 0\n", "0 serverclose 0 \n", "7 rsp 3 \n\n\n\n", "x", "12 rsp 16384 "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, n, err := parseFrame(in)
		if n == 0 {
			if frame.command != "" || (err == nil && len(in) > maxAnswer+64) {
				t.Fatalf("%d bytes are neither a frame nor refused", len(in))
			}
			return
		}
		if err != nil || n > len(in) || frame.txnr > maxTxnr || len(frame.data) > maxAnswer {
			t.Fatal(frame, n, err)
		}
		again, m, err := parseFrame(appendFrame(nil, frame.txnr, frame.command, frame.data))
		if err != nil || m == 0 || again.txnr != frame.txnr || again.command != frame.command || !bytes.Equal(again.data, frame.data) {
			t.Fatalf("%v becomes %v, %v", frame, again, err)
		}
		for i := range n {
			if _, m, err := parseFrame(in[:i]); m != 0 || err != nil {
				t.Fatalf("the first %d bytes of %q: %d, %v", i, in[:n], m, err)
			}
		}
	})
}
