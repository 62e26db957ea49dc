package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/queue"
	"audisp-relay/sinks"
	"audisp-relay/sinks/remote"
)

// fail says that a request got no answer.
func (w *writer) fail(err error) error {
	advice, ok := remote.AdviceOf(err)
	if !ok {
		advice = "check the receiver, the way to it and url"
	}
	return fmt.Errorf("send to OTLP receiver %s: %w: %s", w.cfg.URL, err, advice)
}

// delayed is the error of a receiver that is to be left alone for a while.
type delayed struct {
	error
	after time.Duration
}

// RetryAfter implements sinks.Delayed.
func (e *delayed) RetryAfter() time.Duration { return e.after }
func (e *delayed) Unwrap() error             { return e.error }

// explain says what an answer means after which records wait, and what to do.
func (a *answer) explain() error {
	text, advice := a.describe("the receiver takes no logs there"), "correct the path of url; records wait until then"
	switch s := a.status; {
	case errors.Is(a.flaw, errWantsTLS):
		text, advice = a.flaw.Error(), "begin url with https"
	case a.flaw != nil:
		text, advice = a.flaw.Error(), "see what listens there, and correct url"
	case a.outcome() == busy:
		text, advice = a.describe("the receiver takes nothing at present"), "see its log, and what it waits for itself"
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		text, advice = a.describe("the receiver does not admit this host"), "renew the file that headers names, or the certificate; records wait until then"
	case s == http.StatusProxyAuthRequired:
		text, advice = a.describe("the proxy does not admit this host"), "correct proxy, or admit this host there"
	case s >= 300 && s < 400:
		text, advice = fmt.Sprintf("the receiver redirects (%d) to %s, which is not followed", s, printable(a.location)), "set url to where the receiver is"
	case s < 200:
		text, advice = a.describe("this is no end of a request"), "see what listens there, and correct url"
	}
	return remote.Advise(errors.New(text), "%s", advice)
}

// describe says what the receiver has answered.
func (a *answer) describe(meaning string) string {
	text := fmt.Sprintf("%s (%d %s)", meaning, a.status, http.StatusText(a.status))
	if a.said != "" {
		text += ": it says " + a.said
	}
	return text
}

// refuse makes a loss of events that the receiver has refused for good.
func (w *writer) refuse(b *record.Batch, events []event, a *answer) error {
	from, to := events[0].from, events[len(events)-1].to
	w.refused.Add(uint64(len(events)))
	meaning := "the receiver has refused events for good"
	if a.outcome() == tooLarge {
		meaning = "the receiver has refused an event as too large"
	}
	return w.lose(to-from, queue.LossOf(b, from, to), a, meaning)
}

// rejected makes a loss of as many events as the receiver has refused of a request that it took. It
// does not say which: of their records as many count as lost as the largest events have.
func (w *writer) rejected(b *record.Batch, events []event, a *answer) error {
	n := int(min(a.rejected, int64(len(events))))
	w.refused.Add(uint64(n))
	from, to := events[0].from, events[len(events)-1].to
	loss := queue.LossOf(b, from, to) // whose serials the loss has, too
	if n < len(events) {
		largest := slices.SortedFunc(slices.Values(events), func(x, y event) int { return cmp.Compare(y.to-y.from, x.to-x.from) })
		loss.Records = 0
		for i := range largest[:n] {
			part := queue.LossOf(b, largest[i].from, largest[i].to)
			loss.Records += part.Records
		}
		loss.Events = min(uint64(n), loss.Events)
	}
	return w.lose(to-from, loss, a, fmt.Sprintf("the receiver has refused %d of %d events of a request, which it does not say", n, len(events)))
}

// lose keeps a copy of the message, and returns the loss of its records.
func (w *writer) lose(records int, loss queue.Loss, a *answer, meaning string) error {
	copied := "no copy is kept (dead_letter_size is 0)"
	if w.dead.most > 0 {
		if err := w.dead.write(&w.message.request, a.status, time.Now()); err != nil {
			copied = "no copy was kept: " + err.Error()
		} else {
			w.letters.Add(1)
			copied = "a copy is in " + w.dead.dir
		}
	}
	err := remote.Advise(errors.New(a.describe(meaning)), "%s; see the receiver's log, correct it, and send the copy again", copied)
	return &sinks.Refused{Records: records, Loss: loss, Err: w.fail(err)}
}
