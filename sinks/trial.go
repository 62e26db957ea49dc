package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"audisp-relay/config"
)

// Verdict is how a step of a Trial ended.
type Verdict string

// The verdicts, from the best to the worst.
const (
	Passed  Verdict = "ok"
	Unknown Verdict = "unknown" // it worked as far as can be seen from here, which is not all
	Doubt   Verdict = "warning"
	Failed  Verdict = "failed"
)

// Step is one thing that a Trial did or looked at.
type Step struct {
	Name    string            `json:"step"`
	Verdict Verdict           `json:"result"`
	Took    float64           `json:"ms"`
	Text    string            `json:"text"`            // one line: what was found, or what failed and why
	Fix     string            `json:"fix,omitempty"`   // what to do about it
	Facts   map[string]string `json:"facts,omitempty"` // details, by name
}

// Fact notes a detail, unless it is empty.
func (s *Step) Fact(name, format string, args ...any) {
	if s.Facts == nil {
		s.Facts = make(map[string]string)
	}
	if value := fmt.Sprintf(format, args...); value != "" {
		s.Facts[name] = value
	}
}

// Doubt marks a step as one that works but should not stay as it is. fix is what to do about it. Of several doubts the
// last one counts.
func (s *Step) Doubt(fix, format string, args ...any) {
	s.Verdict, s.Fix = Doubt, fix
	text := fmt.Sprintf(format, args...)
	if s.Text != "" {
		text = s.Text + "; " + text
	}
	s.Text = text
}

// Advised is an error that says what to do about it.
type Advised interface {
	error
	Advice() string
}

// Advise puts to err what to do about it.
func Advise(err error, advice string) error { return &advised{err, advice} }

type advised struct {
	error
	advice string
}

func (e *advised) Advice() string { return e.advice }
func (e *advised) Unwrap() error  { return e.error }

// graceTime is how much longer than its Timeout a step may take until it is left alone: a
// system call on a dead disk or server may never return.
const graceTime = time.Second

// Trial tries one sink from outside the relay, step by step. Connections, files and children of
// the running relay are not touched. It belongs to one goroutine.
type Trial struct {
	Timeout time.Duration // of each step
	Sink    config.Sink   // checked, as config.Load returns it
	ID      string        // of this trial, which the test message bears; letters and digits
	Host    string        // whose message it is
	Steps   []Step        // those that were made
	OnStep  func(Step)    // called after each, if not nil

	hung bool
}

// Do makes a step, and reports whether the next one makes sense. try fills in the Step and ends
// with its context; its error is why it failed. A try that does not end is left alone.
func (t *Trial) Do(ctx context.Context, name string, try func(context.Context, *Step) error) bool {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	began, done := time.Now(), make(chan Step, 1)
	go func() {
		s := Step{Verdict: Passed}
		defer func() {
			if p := recover(); p != nil { // over what a server said, say: the other steps count still
				s.fail(fmt.Errorf("this program failed: %v", p))
			}
			done <- s
		}()
		if err := try(ctx, &s); err != nil {
			s.fail(err)
		}
	}()

	var s Step
	late := time.NewTimer(t.Timeout + graceTime)
	defer late.Stop()
	select {
	case s = <-done:
	case <-late.C:
		t.hung = true
		s.fail(fmt.Errorf("no end within %v", t.Timeout+graceTime))
		s.Fix = "see what the disk or the server does that this waits for"
	}

	s.Name, s.Took = name, float64(time.Since(began).Microseconds())/1000
	t.Steps = append(t.Steps, s)
	if t.OnStep != nil {
		t.OnStep(s)
	}
	return s.Verdict != Failed
}

// Hung reports whether a step did not end. Such a step still uses what it was given, so that must not be closed.
func (t *Trial) Hung() bool { return t.hung }

// fail makes s a step that failed.
func (s *Step) fail(err error) {
	s.Verdict, s.Text = Failed, err.Error()
	if e, ok := errors.AsType[Advised](err); ok {
		s.Fix = e.Advice()
	}
}

// Message is the text of the test message: in words that no parser takes for an audit record, and a
// JSON object where the sink's format has lines of JSON. It has no newline.
func (t *Trial) Message() string {
	now := time.Now().UTC().Format(time.RFC3339)
	switch t.Sink.Format {
	case "json", "ecs", "ocsf", "laurel":
		// Strings marshal without an error.
		text, _ := json.Marshal(map[string]any{
			"message": "test message of audisp-relay doctor, no audit record",
			"doctor":  map[string]string{"id": t.ID, "sink": t.Sink.Name, "host": t.Host, "time": now},
		})
		return string(text)
	}
	return fmt.Sprintf("test message of audisp-relay doctor, no audit record: id %s, sink %s, host %s, time %s", t.ID, t.Sink.Name, t.Host, now)
}

// Try tries t.Sink in the way of its type. A type that cannot be tried makes no step.
func Try(ctx context.Context, t *Trial) {
	if k := kinds[t.Sink.Type]; k.Try != nil && t.Sink.Settings != nil {
		k.Try(ctx, t)
	}
}
