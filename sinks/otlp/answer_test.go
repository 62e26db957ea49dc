package otlp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// protoText is a message of one field of bytes.
func protoText(field protowire.Number, text string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), text))
}

// partial is the answer of a receiver that has refused n log records of a request.
func partial(n int64, text string) string {
	body, _ := proto.Marshal(&collector.ExportLogsServiceResponse{
		PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: n, ErrorMessage: text},
	})
	return string(body)
}

func packed(text string) string {
	var to bytes.Buffer
	z := gzip.NewWriter(&to)
	z.Write([]byte(text))
	z.Close()
	return to.String()
}

// reply is an answer of a receiver.
type reply struct {
	status   int
	kind     string // Content-Type
	encoding string
	body     string
	header   http.Header
}

func (a *reply) write(w http.ResponseWriter) {
	for key, values := range a.header {
		w.Header()[key] = values
	}
	w.Header()["Content-Type"] = []string{a.kind}
	if a.encoding != "" {
		w.Header().Set("Content-Encoding", a.encoding)
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// answered is an answer to a request of ten events, and what follows from it.
type answered struct {
	reply
	lost  uint64 // events
	waits bool   // all of them do
	text  string // of the error
}

const status3 = "\x08\x03" // a Status of code 3

var answers = map[string]answered{
	"taken":                       {reply: reply{status: 200, kind: protobuf}},
	"taken, with a warning":       {reply: reply{status: 200, kind: protobuf, body: partial(0, "soon full")}},
	"taken, JSON":                 {reply: reply{status: 200, kind: "application/json; charset=utf-8", body: `{"partialSuccess":{},"more":1}`}},
	"taken, nothing said":         {reply: reply{status: 204}},
	"taken, packed":               {reply: reply{status: 200, kind: protobuf, encoding: "gzip", body: packed(partial(0, "x"))}},
	"a part refused":              {reply: reply{status: 200, kind: protobuf, body: partial(3, "no \x1b[31mroom")}, lost: 3, text: `refused 3 of 10 events of a request, which it does not say (200 OK): it says "no \x1b[31mroom"`},
	"a part refused, JSON":        {reply: reply{status: 200, kind: "application/json", body: `{"partialSuccess":{"rejectedLogRecords":"2"}}`}, lost: 2, text: "refused 2 of 10"},
	"more refused than there are": {reply: reply{status: 200, kind: protobuf, body: partial(1<<62, "")}, lost: 10, text: "refused 10 of 10"},
	"less than none refused":      {reply: reply{status: 200, kind: protobuf, body: partial(-5, "")}},
	"bad request":                 {reply: reply{status: 400, kind: protobuf, body: status3 + protoText(2, "what is\nthat")}, lost: 10, text: `refused events for good (400 Bad Request): it says "what is that"`},
	"a status cut short":          {reply: reply{status: 400, kind: protobuf, body: status3 + "\x12\x7f"}, lost: 10, text: "(400 Bad Request)"},
	"a status that is text":       {reply: reply{status: 422, kind: "text/plain", body: "entry \u202e too old"}, lost: 10, text: `it says "entry \u202e too old"`},
	"server error":                {reply: reply{status: 500, kind: protobuf}, lost: 10, text: "500 Internal Server Error"},
	"not implemented":             {reply: reply{status: 501}, lost: 10, text: "501"},
	"too many requests":           {reply: reply{status: 429, kind: protobuf}, waits: true, text: "takes nothing at present (429"},
	"bad gateway":                 {reply: reply{status: 502, kind: "text/html", body: "<html>"}, waits: true, text: "502"},
	"unavailable":                 {reply: reply{status: 503, kind: protobuf, body: protoText(2, "full")}, waits: true, text: `503 Service Unavailable): it says "full"`},
	"gateway time-out":            {reply: reply{status: 504}, waits: true, text: "504"},
	"no credentials":              {reply: reply{status: 401, kind: "text/plain"}, waits: true, text: "does not admit this host (401"},
	"forbidden":                   {reply: reply{status: 403}, waits: true, text: "renew the file that headers names"},
	"wrong path":                  {reply: reply{status: 404, kind: "text/plain", body: "404 page not found"}, waits: true, text: "correct the path of url"},
	"redirect":                    {reply: reply{status: 307, header: http.Header{"Location": {"http://127.0.0.1:1/"}}}, waits: true, text: "which is not followed"},
	"in clear to TLS":             {reply: reply{status: 400, kind: "text/plain", body: "Client sent an HTTP request to an HTTPS server.\n"}, waits: true, text: "begin url with https"},
	"a web server":                {reply: reply{status: 200, kind: "text/html", body: "<html>\nwelcome"}, waits: true, text: `it is "text/html", no OTLP: "<html> welcome"`},
	"no protobuf":                 {reply: reply{status: 200, kind: protobuf, body: "<html>"}, waits: true, text: "no ExportLogsServiceResponse"},
	"another encoding":            {reply: reply{status: 200, kind: protobuf, encoding: "br", body: "x"}, waits: true, text: `it has the encoding "br"`},
	"endless":                     {reply: reply{status: 200, kind: protobuf, body: strings.Repeat("x", 1<<20)}, waits: true, text: "longer than 65536 bytes"},
	"a bomb":                      {reply: reply{status: 200, kind: protobuf, encoding: "gzip", body: packed(strings.Repeat("\x00", 64<<20))}, waits: true, text: "longer than 65536 bytes"},
	"a bomb of an error":          {reply: reply{status: 400, kind: protobuf, encoding: "gzip", body: packed(strings.Repeat("\x00", 64<<20))}, lost: 10, text: "400 Bad Request"},
	"no gzip":                     {reply: reply{status: 200, kind: protobuf, encoding: "gzip", body: "no"}, waits: true, text: "gzip"},
}

// TestAnswers: what follows from an answer is what the specification says.
func TestAnswers(t *testing.T) {
	for name, tt := range answers {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
				tt.reply.write(w)
				return true
			}
			w := writerTo(t, r.url())
			b := lines(10)
			n, err := w.Write(context.Background(), b)
			if text := fmt.Sprint(err); !strings.Contains(text, tt.text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s", text)
			}
			refusal, isRefused := err.(*sinks.Refused)
			switch {
			case tt.waits:
				if n != 0 || err == nil || isRefused {
					t.Errorf("%d records delivered: %v", n, err)
				}
			case tt.lost > 0:
				if !isRefused || n+refusal.Records != 10 || refusal.Loss.Events != tt.lost || refusal.Loss.Records != tt.lost {
					t.Errorf("%d delivered: %+v", n, err)
				}
			case n != 10 || err != nil:
				t.Errorf("%d of 10 delivered: %v", n, err)
			}
		})
	}
}

// run runs a sink to the end of what is put, and returns its queue.
func run(t testing.TB, s sinks.Sink, put func(*queue.Queue)) *queue.Queue {
	t.Helper()
	q := queue.New(queue.Options{Name: "test", Config: queue.Config{Depth: 1 << 20, Bytes: 256 << 20, Hold: true, Markers: true, Whole: true}})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		s.Run(ctx, q)
	}()
	put(q)
	q.Close()
	defer cancel()
	select {
	case <-done:
	case <-time.After(hang):
		cancel()
		<-done
		t.Errorf("the sink did not end: %+v, %+v", s.Status(), q.Counts())
	}
	return q
}

// TestRefusedIsCounted: events that the receiver refuses are a loss of their own cause, with a
// marker, and a copy that can be sent again; the others arrive.
func TestRefusedIsCounted(t *testing.T) {
	r := newReceiver(t)
	first := true
	r.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		if !first {
			return false
		}
		first = false
		http.Error(w, "not these", http.StatusBadRequest)
		return true
	}
	w := writerTo(t, r.url(), func(c *Config) { c.BatchRecords = 4 })
	s := sinks.NewPump("test", w, nopLog)
	b := lines(10)
	q := run(t, s, func(q *queue.Queue) { q.Put(&b) })

	n := q.Counts()
	if n.Received != 10 || n.Delivered != 6 || n.Lost[queue.Refused].Records != 4 || n.Lost[queue.Refused].Events != 4 || n.LostRecords() != 4 {
		t.Errorf("%+v", n)
	}
	var texts []string
	for _, rec := range r.got() {
		texts = append(texts, bodyOf(rec))
	}
	if len(texts) != 7 || !strings.Contains(texts[0], "op=relay-loss sink=test cause=refused records=4 events=4 first=1000000 last=1000003 ") {
		t.Errorf("%d arrived: %.300q", len(texts), texts)
	}
	if d := s.Status().Details.(*Details); d.Refused != 4 || d.DeadLetters != 1 {
		t.Errorf("%+v", d)
	}

	files, err := os.ReadDir(w.cfg.DeadLetterDir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 || !strings.HasSuffix(info.Name(), "-400.json") {
		t.Errorf("%v %v", info, err)
	}
	text, err := os.ReadFile(w.cfg.DeadLetterDir + "/" + files[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	request := new(collector.ExportLogsServiceRequest)
	if err := protojson.Unmarshal(text, request); err != nil {
		t.Fatal(err)
	}
	var again []string
	for _, rec := range recordsOf(request) {
		again = append(again, bodyOf(rec)+"\n")
	}
	if want := string(b.Buf[:b.Recs[3].Off+b.Recs[3].Len]); strings.Join(again, "") != want {
		t.Errorf("the copy has %q, want %q", again, want)
	}
}

// TestRefusedMarkers: a receiver that refuses all, markers among them, costs no loop, and gets the
// marker when it takes something again.
func TestRefusedMarkers(t *testing.T) {
	r := newReceiver(t)
	requests := 0
	r.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		if requests++; requests > 4 {
			return false
		}
		http.Error(w, "no", http.StatusBadRequest)
		return true
	}
	w := writerTo(t, r.url(), func(c *Config) { c.BatchRecords = 2 })
	b := lines(10) // refused: 2, their marker, 2, and a marker of 2; it takes the rest
	q := run(t, sinks.NewPump("test", w, nopLog), func(q *queue.Queue) { q.Put(&b) })
	if n := q.Counts(); n.Lost[queue.Refused].Records != 4 || n.Delivered != 6 {
		t.Errorf("%+v", n)
	}
	text := string(r.read())
	if !strings.Contains(text, "cause=refused records=4 events=4 first=1000000 last=1000003 ") || strings.Count(text, "relay-loss") != 1 {
		t.Errorf("%s", text)
	}
}

// TestTooLarge: what the receiver does not take at once it gets in smaller requests; only an event that
// is too large by itself is lost.
func TestTooLarge(t *testing.T) {
	r := newReceiver(t)
	r.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		if len(body) > 6000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return true
		}
		return false
	}
	text := string(lines(40).Buf)
	large := "type=USER msg=audit(1700000000.123:2): msg='" + strings.Repeat("x", 8000) + "'\n"
	b := batchOf(text + large + strings.ReplaceAll(text, ".123:1", ".123:3"))
	w := writerTo(t, r.url())
	q := run(t, sinks.NewPump("test", w, nopLog), func(q *queue.Queue) { q.Put(&b) })
	if n := q.Counts(); n.Lost[queue.Refused].Records != 1 || n.Delivered != 80 || n.Lost[queue.Refused].First != 2 {
		t.Errorf("%+v", n)
	}
	var got []byte
	for line := range bytes.Lines(r.read()) {
		if !bytes.Contains(line, []byte("op=relay-loss")) {
			got = append(got, line...)
		}
	}
	if want := strings.ReplaceAll(string(b.Buf), large, ""); string(got) != want {
		t.Error(cmp.Diff(want, string(got)))
	}
}

// TestRetryAfter: both forms, within bounds.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 120 ": 2 * time.Minute, "0": 0, "-1": 0, "1.5": 0, "soon": 0,
		"301": maxRetryAfter, "99999999999999999999999": maxRetryAfter,
		"Sat, 28 Nov 2026 09:00:30 GMT": 30 * time.Second, "Sat, 28 Nov 2026 08:00:30 GMT": 0, "Sat, 28 Nov 2099 08:00:30 GMT": maxRetryAfter,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}

	r := newReceiver(t)
	r.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	_, err := writerTo(t, r.url()).Write(context.Background(), lines(1))
	if d, ok := err.(sinks.Delayed); !ok || d.RetryAfter() != 17*time.Second {
		t.Errorf("%v", err)
	}
}

// raw is a server that reads a request, says something, and nothing more.
func raw(t testing.TB, say func(c net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				q, err := http.ReadRequest(bufio.NewReader(c))
				if err == nil {
					_, err = io.Copy(io.Discard, q.Body)
				}
				if err == nil {
					say(c)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	return "http://" + l.Addr().String()
}

// TestHostileServers: none of them is waited for without end, and none is believed.
func TestHostileServers(t *testing.T) {
	slow := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
				text = "x"
				time.Sleep(time.Millisecond)
			}
		}
	}
	for name, tt := range map[string]struct {
		say  func(c net.Conn)
		text string
	}{
		"HTTP/2":           {func(c net.Conn) { io.WriteString(c, "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80") }, "malformed HTTP"},
		"another protocol": {func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH\r\n") }, "malformed HTTP"},
		"no answer":        {func(c net.Conn) {}, "see the receiver's log"},
		"slow answer":      {slow("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"), "no whole answer within"},
		"slow header":      {slow("HTTP/1.1 200 OK\r\nX: "), "no whole answer within"},
		"endless headers": {func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-Y: "+strings.Repeat("z", 1000)+"\r\n", 100))
		}, "header"},
		"cut answer": {func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab") }, "closed the connection"},
		"going on": {func(c net.Conn) {
			io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 10_000))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := writerTo(t, raw(t, tt.say))
			w.timeout = 2 * time.Second
			n, err := w.Write(context.Background(), lines(3))
			text := fmt.Sprint(err)
			if n != 0 || err == nil || !strings.Contains(text, tt.text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%d delivered: %s", n, text)
			}
		})
	}
}

// TestEndedConnections: a receiver that ends its connections after each answer costs nothing.
func TestEndedConnections(t *testing.T) {
	r := newReceiver(t)
	r.closing = true
	w := writerTo(t, r.url())
	s := sinks.NewPump("test", w, nopLog)
	b := lines(20)
	run(t, s, func(q *queue.Queue) {
		for i := range b.Recs {
			one := b
			one.Recs = b.Recs[i : i+1]
			q.Put(&one)
			for len(r.got()) <= i {
				time.Sleep(time.Millisecond)
			}
		}
	})
	if st := s.Status(); st.Failures > 0 || string(r.read()) != string(b.Buf) {
		t.Errorf("%+v: %d log records", st, len(r.got()))
	}
}

// FuzzAnswer: whatever a receiver says, reading it ends.
func FuzzAnswer(f *testing.F) {
	f.Add(200, protobuf, "", partial(3, "x"), "3")
	f.Add(400, protobuf, "gzip", packed(protoText(2, "x")), "Sat, 28 Nov 2026 09:00:30 GMT")
	f.Add(503, "text/html", "", "<html>\x1b[31m", "x")
	f.Add(200, "application/json", "", `{"partialSuccess":{"rejectedLogRecords":"2"}}`, "")
	f.Fuzz(func(t *testing.T, status int, kind, encoding, body, after string) {
		r := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
			"Content-Type": {kind}, "Content-Encoding": {encoding}, "Retry-After": {after}, "Location": {body},
		}}
		a, err := readAnswer(r, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a.outcome()
		if text := a.describe("it") + a.explain().Error(); a.rejected < 0 || a.retryAfter < 0 || a.retryAfter > maxRetryAfter ||
			strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%+v: %q", a, text)
		}
	})
}
