package otlp

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var nopLog = zap.NewNop()

// hang is when a test gives up.
const hang = 30 * time.Second

// receiver is an OTLP receiver of a test's: it takes what it reads by the specification, and answers
// what the test wants.
type receiver struct {
	t       testing.TB
	address string
	certs   *tls.Config // nil: in clear
	// answer, where it is set, answers a request, and reports whether that is done; what it leaves is
	// taken. It is set before a sink runs.
	answer func(w http.ResponseWriter, r *http.Request, body []byte) bool

	gate sync.Mutex // held while stalled

	mu       sync.Mutex // guards all below
	server   *http.Server
	records  []*logs.LogRecord
	text     []byte // of these, a line each
	requests []*collector.ExportLogsServiceRequest
	headers  []http.Header
	paths    []string
	closing  bool // connections are closed after each answer, without a word
}

func newReceiver(t testing.TB) *receiver {
	// While it is stopped no connection of another test may get its port, nor one of the sink's to itself.
	r := &receiver{t: t, address: net.JoinHostPort("127.0.0.1", lab.FreePort(t, "tcp"))}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *receiver) url() string {
	if r.certs != nil {
		return "https://" + r.address
	}
	return "http://" + r.address
}

// start listens, at the same address as before.
func (r *receiver) start() {
	r.t.Helper()
	var l net.Listener
	var err error
	for range 100 { // the port may be in use for a moment
		if l, err = net.Listen("tcp", r.address); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	if r.certs != nil {
		l = tls.NewListener(l, r.certs)
	}
	server := &http.Server{Handler: r, ErrorLog: zap.NewStdLog(zap.NewNop())}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	go server.Serve(l)
}

// stop ends the listening socket and all connections.
func (r *receiver) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server.Close()
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.gate.Lock()
	defer r.gate.Unlock()
	body, err := io.ReadAll(unpacked(r.t, q))
	if err != nil {
		return // the sink has gone
	}
	if r.answer != nil && r.answer(w, q, body) {
		return
	}
	r.take(q, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
	if r.closing {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			r.t.Error(err)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
		c.Close()
	}
}

// take keeps what a request holds.
func (r *receiver) take(q *http.Request, body []byte) {
	request := new(collector.ExportLogsServiceRequest)
	if err := proto.Unmarshal(body, request); err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	r.headers = append(r.headers, q.Header)
	r.paths = append(r.paths, q.URL.Path)
	for _, rec := range recordsOf(request) {
		r.records = append(r.records, rec)
		r.text = append(append(r.text, bodyOf(rec)...), '\n')
	}
}

func recordsOf(request *collector.ExportLogsServiceRequest) (all []*logs.LogRecord) {
	for _, rl := range request.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			all = append(all, sl.LogRecords...)
		}
	}
	return all
}

// bodyOf returns what the body of a log record says, whether as text or as bytes.
func bodyOf(rec *logs.LogRecord) string {
	return rec.Body.GetStringValue() + string(rec.Body.GetBytesValue())
}

// attributeOf returns the text of an attribute, "" without it.
func attributeOf(rec *logs.LogRecord, key string) string {
	for _, a := range rec.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue() + string(a.Value.GetBytesValue())
		}
	}
	return ""
}

// unpacked returns the body of a request as it was before compression.
func unpacked(t testing.TB, q *http.Request) io.Reader {
	switch q.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(q.Body)
		if err != nil {
			return errReader{err}
		}
		return z
	case "zstd":
		z, err := zstd.NewReader(q.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Error(err)
		}
		return z
	}
	return q.Body
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func (r *receiver) read() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.text)
}

// got returns what has come so far.
func (r *receiver) got() []*logs.LogRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*logs.LogRecord(nil), r.records...)
}

func (r *receiver) place() sinktest.Place {
	return sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			return New(settings(r.t, r.url()), enc, zap.NewNop())
		},
		Read:   r.read,
		Break:  r.stop,
		Repair: r.start,
		Stall:  r.gate.Lock,
		Resume: r.gate.Unlock,
	}
}

// settings returns the configuration of a sink that has nothing but a URL, and what set changes.
func settings(t testing.TB, url string, set ...func(*Config)) config.Sink {
	c := &Config{
		URL: withPath(url), Compression: "gzip", BatchBytes: defaultBatchBytes, BatchRecords: defaultBatchRecords,
		DeadLetterDir: t.TempDir() + "/dead", DeadLetterSize: defaultDeadLetters,
	}
	for _, change := range set {
		change(c)
	}
	return config.Sink{Name: "test", Type: "otlp", Format: "string", Settings: c}
}

// writerTo returns a writer to a receiver.
func writerTo(t testing.TB, url string, set ...func(*Config)) *writer {
	w := newWriter(settings(t, url, set...), format.Encoder{Format: format.String})
	t.Cleanup(func() { w.Close() })
	return w
}

// lines returns n events of a record each.
func lines(n int) record.Batch {
	return sinktest.Batches(sinktest.Lines(0, n), 1<<20)[0]
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sinktest.Run(t, sinktest.Target{
		Place:    func(t *testing.T) sinktest.Place { return newReceiver(t).place() },
		Repeats:  true, // what the receiver took and had not answered
		CutsLong: true, // without the intake, which gives whole events, what is in two batches is two records
	})
}
