package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// texts reads a picture, and returns what it has as text.
func texts(t testing.TB, svg []byte) (all []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	inside := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inside = token.Name.Local == "text"
		case xml.EndElement:
			inside = false
		case xml.CharData:
			if inside {
				all = append(all, string(token))
			}
		}
	}
}

func TestSVG(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"svg"}, strings.NewReader("\x1b[1m\x1b[31mlosing\x1b[0m a <b> & c\n\x1b[7m agent \x1b[m▁█\x1b]\x1b(B\x1b[2Jx\n"), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := texts(t, out.Bytes()), []string{"losing", "a <b> & c", "agent", "▁█", "x"}; !slices.Equal(got, want) {
		t.Errorf("texts %q, want %q", got, want)
	}
	for _, part := range []string{`fill="#e06c75" font-weight="bold">losing`, `textLength="50.4"`, `<rect x="12.0" y="30" width="58.8"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, out.String())
		}
	}
}

// FuzzSVG: whatever a terminal shows, the picture is well-formed.
func FuzzSVG(f *testing.F) {
	f.Add("\x1b[1;38;5;7;0mx\x1b[")
	f.Add("a\x00\xff\x1b[99999999999999999999m")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := run([]string{"svg"}, strings.NewReader(text), &out); err != nil {
			t.Fatal(err)
		}
		texts(t, out.Bytes())
	})
}

// enough is a writer that takes some events and then is closed like a pipe.
type enough struct{ bytes.Buffer }

func (e *enough) Write(p []byte) (int, error) {
	if e.Len() > 50_000 {
		return 0, syscall.EPIPE
	}
	return e.Buffer.Write(p)
}

// TestFeed: records of one event have one stamp, and each event has its own serial.
func TestFeed(t *testing.T) {
	out := new(enough)
	if err := run([]string{"feed"}, nil, out); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	last := ""
	for line := range bytes.Lines(out.Bytes()) {
		id := string(stamp.Find(line))
		if id == "" || (id != last && seen[id]) {
			t.Fatalf("%q comes again, or is none: %s", id, line)
		}
		seen[id], last = true, id
	}
	if len(seen) < 10 {
		t.Errorf("only %d events", len(seen))
	}
	if err := run([]string{"nosuch"}, nil, out); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("wrong usage: %v", err)
	}
}

// TestGraphs draws a dashboard from what a server answers as Prometheus does.
func TestGraphs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := map[string]string{
			`up{sink=~".*"}`:  `{"metric":{"sink":"a<b"},"values":[[1,"0"],[2,"5"]]},{"metric":{"sink":"loghost"},"values":[[1,"20000"],[2,"NaN"]]}`,
			`rate(lost[10s])`: `{"metric":{},"values":[[1,"0.25"]]}`,
			`gone`:            "",
		}
		answer, known := values[r.FormValue("query")]
		if !known || r.URL.Path != "/api/v1/query_range" {
			fmt.Fprint(w, `{"status":"error","error":"no such query"}`)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"result":[%s]}}`, answer)
	}))
	defer server.Close()
	draw := func(board string) (string, error) {
		file := t.TempDir() + "/board.json"
		if err := os.WriteFile(file, []byte(board), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := run([]string{"graphs", strings.TrimPrefix(server.URL, "http://"), file, "60"}, nil, &out)
		return out.String(), err
	}

	drawn, err := draw(`{"panels":[
		{"type":"timeseries","title":"Up","gridPos":{"x":0,"y":0,"w":12,"h":8},"targets":[{"expr":"up{sink=~\"$sink\"}","legendFormat":"{{sink}} up"}]},
		{"type":"stat","title":"Lost","gridPos":{"x":12,"y":0,"w":4,"h":4},"fieldConfig":{"defaults":{"unit":"s"}},"targets":[{"expr":"rate(lost[$__rate_interval])"}]},
		{"type":"stat","title":"None","gridPos":{"x":16,"y":0,"w":4,"h":4},"targets":[{"expr":"gone"}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Up", "0", "10k", "20k", "loghost up", "a<b up", "Lost", "250 ms", "None", "no data"}
	if got := texts(t, []byte(drawn)); !slices.Equal(got, want) {
		t.Errorf("texts %q, want %q", got, want)
	}
	if got := strings.Count(drawn, "<polyline"); got != 2 {
		t.Errorf("%d lines", got)
	}
	if _, err := draw(`{"panels":[{"title":"Bad","targets":[{"expr":"nonsense("}]}]}`); err == nil || !strings.Contains(err.Error(), `panel "Bad": nonsense(: no such query`) {
		t.Errorf("an error of Prometheus: %v", err)
	}
}
