package plugin

import (
	"testing"

	"go.uber.org/zap"

	"audisp-relay/audit/audittest"
	"audisp-relay/config"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
)

// TestNextRunResumes: nothing may be left to a next run that does not know where a consumer is.
func TestNextRunResumes(t *testing.T) {
	consumers := map[string]*consumer.Consumer{}
	for _, name := range []string{"old", "new"} {
		q := queue.New(queue.Options{Config: queue.Config{Depth: 10, Bytes: 1 << 20, Hold: true}, Name: name})
		consumers[name] = consumer.New(consumer.Options{Config: config.Sink{Name: name, Format: "string"}, Log: zap.NewNop(), Queue: q})
	}
	consumers["old"].Intake.Put(audittest.Lines(t, audittest.User(1)))
	for _, tt := range []struct {
		saves   bool
		members []string
		want    bool
	}{
		{true, []string{"old"}, true},
		{false, []string{"old"}, false},
		{true, []string{"old", "new"}, false},
		{true, nil, true},
	} {
		p := &Plugin{saver: new(stateSaver)}
		p.saver.saves.Store(tt.saves)
		for _, name := range tt.members {
			p.members = append(p.members, consumers[name])
		}
		if got := p.nextRunResumes(); got != tt.want {
			t.Errorf("saves %v, consumers %v: %v", tt.saves, tt.members, got)
		}
	}
}
