package plugin

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"audisp-relay/config"
)

// brokenPlace takes lines, or not.
type brokenPlace struct {
	down  bool
	lines []string
}

func (p *brokenPlace) put(_ zapcore.Entry, line []byte) error {
	if p.down {
		return errors.New("down")
	}
	p.lines = append(p.lines, string(line))
	return nil
}

func (p *brokenPlace) close() {}

// TestLogKeepsTheLastOfEachMessage: while the log cannot be written the last line of each
// message is kept, for each sink, in the order of the last ones; it is written as soon as
// that works, also when there is nothing new to say, and what it cost is counted.
func TestLogKeepsTheLastOfEachMessage(t *testing.T) {
	place := &brokenPlace{down: true}
	q := &logQueue{place: place}
	core := &logCore{LevelEnabler: zap.InfoLevel, enc: zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m", LineEnding: "\n", ConsoleSeparator: " "}), to: q}
	log := zap.New(core)
	b := log.With(zap.String("sink", "b"))
	for i := range 100 {
		log.Warn("lost", zap.String("sink", "a"), zap.Int("n", i))
		b.Warn("lost", zap.Int("n", i))
	}
	log.Warn("degraded", zap.String("sink", "a"))
	log.Info(strings.Repeat("x", maxKeptLine))
	if fault, waiting, lost := q.state(); waiting != 3 || lost != 199 || fault != "down" {
		t.Errorf("%d wait, %d are lost, because of %q", waiting, lost, fault)
	}
	now := time.Now()
	for i := range 5 { // it stays down
		if late, _ := q.retry(now.Add(time.Duration(i) * time.Minute)); late != 0 {
			t.Errorf("%d lines came late while it is down", late)
		}
	}
	place.down = false
	late, lost := q.retry(now.Add(time.Hour))
	want := "lost {\"sink\": \"a\", \"n\": 99}\nlost {\"sink\": \"b\", \"n\": 99}\ndegraded {\"sink\": \"a\"}\n"
	if got := strings.Join(place.lines, ""); got != want || late != 3 || lost != 199 {
		t.Errorf("%d late, %d lost, written:\n%s", late, lost, got)
	}
	log.Info("after")
	if fault, waiting, _ := q.state(); len(place.lines) != 4 || waiting != 0 || fault != "" {
		t.Errorf("after that %d wait, because of %q; written: %q", waiting, fault, place.lines)
	}
}

// TestLogKeepsAFew: however much is said, no more than a bound waits.
func TestLogKeepsAFew(t *testing.T) {
	place := &brokenPlace{down: true}
	q := &logQueue{place: place}
	for i := range 10 * maxKept {
		q.put(fmt.Sprint(i), zapcore.Entry{Time: time.Now()}, []byte(fmt.Sprintln(i)))
	}
	if _, waiting, lost := q.state(); waiting != maxKept || lost != 9*maxKept {
		t.Errorf("%d wait, %d are lost", waiting, lost)
	}
	place.down = false
	q.close()
	if len(place.lines) != maxKept || place.lines[0] != fmt.Sprintln(9*maxKept) {
		t.Errorf("at the end %d lines, from %q", len(place.lines), place.lines[0])
	}
}

// TestSyslogComesBack: lines that no syslog daemon was there for reach the next one, with
// the time they were said at.
func TestSyslogComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	q := &logQueue{place: &syslogConn{path: path}}
	defer q.close()
	said := time.Now().Add(-time.Hour)
	q.put("k", zapcore.Entry{Level: zapcore.WarnLevel, Time: said}, []byte("records lost {}\n"))
	if fault, waiting, _ := q.state(); waiting != 1 || !strings.Contains(fault, path) {
		t.Errorf("%d wait, because of %q", waiting, fault)
	}
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	q.retry(time.Now())
	buf := make([]byte, 1000)
	n, err := daemon.Read(buf)
	if got, want := string(buf[:n]), fmt.Sprintf("<28>%s audisp-relay[%d]: records lost {}", said.Format(time.Stamp), os.Getpid()); got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestSyslogOfAStreamSocket: lines are ended there, and a daemon that was restarted gets the next one.
func TestSyslogOfAStreamSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	q := &logQueue{place: &syslogConn{path: path}}
	defer q.close()
	said := time.Now()
	for _, texts := range [][]string{{"first {}", "second {}"}, {"after a restart {}"}} {
		for _, text := range texts {
			q.put(text, zapcore.Entry{Level: zapcore.WarnLevel, Time: said}, []byte(text+"\n"))
		}
		if fault, waiting, _ := q.state(); waiting != 0 {
			t.Fatalf("%d wait, because of %q", waiting, fault)
		}
		conn, err := daemon.Accept()
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(conn)
		for _, text := range texts {
			want := fmt.Sprintf("<28>%s audisp-relay[%d]: %s\n", said.Format(time.Stamp), os.Getpid(), text)
			if got, err := lines.ReadString('\n'); got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		conn.Close()
	}
}

// TestStderrThatIsNotRead: a full pipe holds nothing up.
func TestStderrThatIsNotRead(t *testing.T) {
	if os.Getenv("AUDISP_TEST_STDERR") == "" {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		child, err := os.StartProcess(os.Args[0], []string{os.Args[0], "-test.run=^TestStderrThatIsNotRead$"},
			&os.ProcAttr{Env: append(os.Environ(), "AUDISP_TEST_STDERR=1"), Files: []*os.File{nil, os.Stdout, w}})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if state, err := child.Wait(); err != nil || !state.Success() {
			t.Errorf("%v, %v", state, err)
		}
		return
	}
	l := newLogger(config.Log{Level: "info", Output: "stderr"})
	for i := range 2000 {
		l.Info(fmt.Sprint(i, strings.Repeat("x", 1000)))
	}
	if _, waiting, _ := l.queue.state(); waiting == 0 {
		t.Fatalf("%d lines wait", waiting)
	}
	l.close()
}
