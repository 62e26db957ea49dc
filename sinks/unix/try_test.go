package unix

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/sinks"
)

func trialOf(t *testing.T, cfg Config, format string, timeout time.Duration) []sinks.Step {
	t.Helper()
	y := &sinks.Trial{Timeout: timeout, Sink: config.Sink{Name: "s", Type: "unix", Format: format, Settings: &cfg}, ID: "a1b2c3", Host: "host.example"}
	sinks.Try(context.Background(), y)
	if y.Hung() || len(y.Steps) == 0 {
		t.Fatalf("hung %v, %+v", y.Hung(), y.Steps)
	}
	return y.Steps
}

// TestTrialOfListener: a socket that the relay listens on is described, and no client comes to it.
func TestTrialOfListener(t *testing.T) {
	cfg := settings(sock(t))
	cfg.AllowUIDs = []int{0, 7}
	b := start(t, cfg, lossless())
	b.listening()
	before := b.sink.Status().Details.(*Details)
	steps := trialOf(t, cfg, "string", 5*time.Second)
	if len(steps) != 3 {
		t.Fatalf("%+v", steps)
	}

	for _, s := range steps {
		if s.Verdict == sinks.Failed {
			t.Errorf("%+v", s)
		}
	}
	if !strings.Contains(steps[2].Text, "allow_uids admits [0 7]") {
		t.Errorf("access %+v", steps[2])
	}
	if now := b.sink.Status().Details.(*Details); len(now.Clients) != len(before.Clients) || now.Refused != before.Refused {
		t.Errorf("the trial shows in the sink: %+v", now)
	}
}

// TestTrialOfListenerFaults: what stands in the place of the socket, or has left it.
func TestTrialOfListenerFaults(t *testing.T) {
	left := sock(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	plain := sock(t)
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for path, want := range map[string]string{left: "no process listens", plain: "a regular file", sock(t): "is not there"} {
		steps := trialOf(t, settings(path), "string", 5*time.Second)
		if s := steps[len(steps)-1]; s.Verdict != sinks.Failed || !strings.Contains(s.Text, want) || s.Fix == "" {
			t.Errorf("%s: %+v", path, s)
		}
	}
}

// TestTrialOfOpenSocket: a socket for every user is a doubt.
func TestTrialOfOpenSocket(t *testing.T) {
	cfg := settings(sock(t))
	cfg.Mode, cfg.AllowUIDs = 0o666, nil
	start(t, cfg, lossless()).listening()
	steps := trialOf(t, cfg, "string", 5*time.Second)
	if s := steps[len(steps)-1]; s.Verdict != sinks.Doubt || !strings.Contains(s.Text, "every user") {
		t.Errorf("%+v", s)
	}
}

// TestTrialOfCollector: the message is acknowledged when the collector has read it; one that does
// not read is reported, and frames are not forged.
func TestTrialOfCollector(t *testing.T) {
	path := sock(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := Config{Path: path, Connect: true}
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		buf := make([]byte, 1000)
		n, _ := conn.Read(buf)
		got <- string(buf[:n])
	}()
	steps := trialOf(t, cfg, "string", 20*time.Second)
	if s := steps[len(steps)-1]; len(steps) != 2 || s.Verdict != sinks.Passed {
		t.Errorf("%+v", steps)
	}
	if text := <-got; !strings.HasPrefix(text, "test message of audisp-relay doctor, no audit record: id a1b2c3, sink s, host host.example") || !strings.HasSuffix(text, "\n") {
		t.Errorf("the collector has read %q", text)
	}

	if steps = trialOf(t, cfg, "string", 500*time.Millisecond); !strings.Contains(steps[1].Text, "does not read") {
		t.Errorf("%+v", steps)
	}
	if steps = trialOf(t, cfg, "binary", 5*time.Second); steps[1].Verdict != sinks.Unknown {
		t.Errorf("%+v", steps)
	}
	l.Close()
	if steps = trialOf(t, cfg, "string", 5*time.Second); len(steps) != 1 || steps[0].Verdict != sinks.Failed || !strings.Contains(steps[0].Text, "start the collector") {
		t.Errorf("%+v", steps)
	}
}
