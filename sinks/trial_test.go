package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/config"
)

// TestTrialSteps: a step that fails ends the trial with its advice, a doubt does not.
func TestTrialSteps(t *testing.T) {
	var seen []Step
	y := &Trial{Timeout: time.Minute, OnStep: func(s Step) { seen = append(seen, s) }}
	doubt := y.Do(context.Background(), "a", func(_ context.Context, s *Step) error {
		s.Text = "works"
		s.Doubt("renew it", "ends on %s", "Monday")
		return nil
	})
	failed := y.Do(context.Background(), "b", func(context.Context, *Step) error {
		return fmt.Errorf("connect: %w", Advise(errors.New("refused"), "start it"))
	})

	if !doubt || failed || len(seen) != 2 || y.Hung() {
		t.Fatalf("%v %v %+v", doubt, failed, seen)
	}
	if s := seen[0]; s.Verdict != Doubt || s.Text != "works; ends on Monday" || s.Fix != "renew it" || s.Name != "a" {
		t.Errorf("%+v", s)
	}
	if s := seen[1]; s.Verdict != Failed || s.Text != "connect: refused" || s.Fix != "start it" {
		t.Errorf("%+v", s)
	}
}

// TestTrialLeavesAHungStep: what does not end is reported, and waited for no longer.
func TestTrialLeavesAHungStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		y := &Trial{Timeout: 5 * time.Second}
		ok := y.Do(context.Background(), "disk", func(context.Context, *Step) error {
			<-release
			return nil
		})
		if ok || !y.Hung() || !strings.Contains(y.Steps[0].Text, "no end within 6s") || y.Steps[0].Fix == "" {
			t.Errorf("%v %+v", ok, y.Steps)
		}
	})
}

// TestTrialSurvivesPanics: a step that panics has failed.
func TestTrialSurvivesPanics(t *testing.T) {
	y := &Trial{Timeout: time.Minute}
	if y.Do(context.Background(), "a", func(context.Context, *Step) error { panic("odd") }) || !strings.Contains(y.Steps[0].Text, "odd") {
		t.Errorf("%+v", y.Steps)
	}
}

// TestTrialMessage: in every format it says what it is, in one line, and looks like no record.
func TestTrialMessage(t *testing.T) {
	for _, format := range []string{"string", "joined", "json", "ecs", "ocsf", "laurel"} {
		y := &Trial{Sink: config.Sink{Name: "siem", Format: format}, ID: "a1b2", Host: `h"\x`}
		text := y.Message()
		if strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "type=") || strings.Contains(text, "audit(") {
			t.Errorf("%s: %q", format, text)
		}
		for _, part := range []string{"audisp-relay doctor", "no audit record", "a1b2", "siem"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q lacks %q", format, text, part)
			}
		}
		if format != "string" && format != "joined" && !json.Valid([]byte(text)) {
			t.Errorf("%s: %q is no JSON", format, text)
		}
	}
}
