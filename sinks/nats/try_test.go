package nats

import (
	"context"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/sinks"
	servers "audisp-relay/test/engine"
)

// TestTry: each step says what it found, and nothing is stored.
func TestTry(t *testing.T) {
	t.Parallel()
	node := servers.StartNATS(t, 1, "").Nodes[0]
	trial := func() *sinks.Trial {
		tr := &sinks.Trial{Timeout: 20 * time.Second, Sink: config.Sink{Name: "fleet", Type: "nats", Settings: testConfig(node.URL)}, ID: "x1"}
		try(context.Background(), tr)
		return tr
	}
	said := func(tr *sinks.Trial) (text string) {
		for _, s := range tr.Steps {
			text += s.Name + ": " + string(s.Verdict) + ": " + s.Text + " FIX " + s.Fix + "\n"
		}
		return text
	}
	if text := said(trial()); !strings.Contains(text, "connect: ok") || !strings.Contains(text, "stream: failed") || !strings.Contains(text, "nats stream add") {
		t.Errorf("without a stream:\n%s", text)
	}

	admin := servers.NewAdmin(t, []string{node.URL})
	admin.Make(servers.Records(1))
	text := said(trial())
	for _, want := range []string{"stream: warning", "one replica", "--replicas 3", "position: ok", "acknowledgement: ok"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	admin.Try("look at the stream", func(ctx context.Context) error {
		s, err := admin.JS.Stream(ctx, "AUDIT_REC")
		if err == nil && s.CachedInfo().State.Msgs != 0 {
			t.Errorf("%d messages were stored", s.CachedInfo().State.Msgs)
		}
		return err
	})
	node.Kill()
	if text := said(trial()); !strings.Contains(text, "connect: failed") || !strings.Contains(text, "refused") {
		t.Errorf("without a server:\n%s", text)
	}
}
