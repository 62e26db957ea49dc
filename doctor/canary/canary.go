// Package canary makes one audit record and times its way through auditd and the relay to every sink.
//
// It reads the arrival where it can: in audit.log, in the file of a sink, as a client of a socket that the
// relay listens on. For other sinks it goes by the relay's counters: all that the relay had for the sink when
// the canary had come was acknowledged. The result says which of the two it is.
package canary

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/sinks/file"
	"audisp-relay/sinks/unix"
)

// DefaultTimeout is how long a canary may be on its way.
const DefaultTimeout = 10 * time.Second

// Fate is what became of the canary at one place.
type Fate string

// The fates. Late means that it had not come in time; NotSeen that this cannot be found out.
const (
	Arrived   Fate = "arrived"
	Filtered  Fate = "filtered"  // the sink's filter leaves such records out
	Discarded Fate = "discarded" // the sink has no client, and keeps nothing for one
	Late      Fate = "late"
	NotSeen   Fate = "not seen"
)

// Arrival is what is known of one place.
type Arrival struct {
	Place string  `json:"place"` // "audit.log", "relay" or "sinks.NAME"
	Fate  Fate    `json:"fate"`
	MS    float64 `json:"ms,omitempty"` // from the making of the record on
	By    string  `json:"by,omitempty"` // "read" or "counters": how that was found out
	Text  string  `json:"text,omitempty"`
}

// Result is what became of one canary. The caller owns it.
type Result struct {
	Time     time.Time `json:"time"`
	ID       string    `json:"id"`     // in the record's text
	Record   string    `json:"record"` // as audit.log has it, if it has
	OK       bool      `json:"ok"`     // nothing is late
	Arrivals []Arrival `json:"arrivals"`
}

// Options say where a canary is looked for. Config and RunDir have to be set.
type Options struct {
	Config  *config.Config
	RunDir  string
	Log     string        // auditd's log, "" for none
	Timeout time.Duration // 0: DefaultTimeout

	Send func(text string) error                     // nil: host.UserMessage
	Ask  func(runDir string) (*plugin.Report, error) // nil: plugin.Query
}

// Times between two looks. The relay is asked less often, as that makes it work.
const (
	lookEvery = 5 * time.Millisecond
	askEvery  = 50 * time.Millisecond
	// admitTime is how long the relay may take to accept a client: it does so once a second at most.
	admitTime = 3 * time.Second
)

// flight is one canary on its way.
type flight struct {
	Options
	id     string
	sent   time.Time
	log    *follower // nil: there is no log, or it cannot be read
	logErr error
	places []*place // of sinks
	seen   *relay

	result *Result
}

// place is a sink that the canary is to come to.
type place struct {
	sink    *config.Sink
	watch   watcher // nil: only the relay's counters say something
	why     string  // there is none
	arrival Arrival
	done    bool
}

// Run makes a canary and waits until it has come everywhere, or until the time is up. The error says
// why none could be made.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Send == nil {
		o.Send = host.UserMessage
	}
	if o.Ask == nil {
		o.Ask = plugin.Query
	}
	before, err := o.Ask(o.RunDir)
	if err != nil {
		return nil, fmt.Errorf("ask the relay: %w", err)
	}
	c := &flight{Options: o, id: "canary-" + rand.Text()[:16], result: &Result{Time: time.Now()}}
	c.seen = &relay{before: before}
	defer c.close()
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}

	c.sent = time.Now()
	c.seen.sent = c.sent
	if err := o.Send("op=audisp-relay-doctor id=" + c.id + " res=success"); err != nil {
		return nil, err
	}
	c.wait(ctx)
	return c.finish(), nil
}

// prepare opens all that is watched.
func (c *flight) prepare(ctx context.Context) error {
	if c.Log != "" {
		c.log, c.logErr = follow(c.Log, c.id)
	}
	for i := range c.Config.Sinks {
		p := &place{sink: &c.Config.Sinks[i]}
		p.arrival = Arrival{Place: "sinks." + p.sink.Name, Fate: Late}
		p.open(c.id)
		c.places = append(c.places, p)
	}
	return c.awaitAdmission(ctx)
}

// open makes the watcher of a sink that has one.
func (p *place) open(id string) {
	var err error
	switch settings := p.sink.Settings.(type) {
	case *file.Config:
		var w *follower
		if w, err = follow(settings.Path, id); err == nil {
			p.watch = w
		}
	case *unix.Config:
		switch {
		case settings.Connect:
		case p.sink.WhenIdle == "queue":
			p.why = "a client would take records that wait for another"
		default:
			var w *client
			if w, err = connect(settings.Path, id); err == nil {
				p.watch = w
			}
		}
	}

	if err != nil {
		p.why = err.Error()
	}
}

// awaitAdmission waits until the relay has accepted our clients: a record that comes before is not for
// them. One that it turns away is not watched.
func (c *flight) awaitAdmission(ctx context.Context) error {
	for end := time.Now().Add(admitTime); ; {
		r, err := c.Ask(c.RunDir)
		if err != nil {
			return fmt.Errorf("ask the relay: %w", err)
		}
		last, waits := time.Now().After(end), false
		for _, p := range c.places {
			waits = p.admit(r, last) || waits
		}
		if !waits {
			return nil
		}
		if err := pause(ctx, askEvery); err != nil {
			return err
		}
	}
}

// admit reports whether the relay may still accept our client of this sink. One that it has turned away,
// or not accepted by the last look, is given up.
func (p *place) admit(r *plugin.Report, last bool) (waits bool) {
	cl, ok := p.watch.(*client)
	if !ok || admitted(r, p.sink.Name) {
		return false
	}
	if _, err := cl.look(); err == nil && !last {
		return true
	}
	cl.close()
	p.watch, p.why = nil, "the relay does not admit this process as a client"
	return false
}

// admitted reports whether this process is among the clients of a sink.
func admitted(r *plugin.Report, name string) bool {
	of := r.Consumer(name)
	if of == nil {
		return false
	}
	d, ok := of.Sink.Details.(*unix.Details)
	return ok && slices.ContainsFunc(d.Clients, func(cl unix.Client) bool { return cl.Pid == os.Getpid() })
}

// pause waits, or returns why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait looks everywhere until nothing is missing any more, or the time is up.
func (c *flight) wait(ctx context.Context) {
	var asked time.Time
	for end := c.sent.Add(c.Timeout); time.Now().Before(end); {
		c.lookInLog()
		for _, p := range c.places {
			c.lookAt(p)
		}
		if time.Since(asked) >= askEvery {
			asked = time.Now()
			if r, err := c.Ask(c.RunDir); err == nil {
				c.seen.note(r, time.Now())
				c.count(r)
			}
		}
		if c.complete() || pause(ctx, lookEvery) != nil {
			return
		}
	}
}

// complete reports whether all is known.
func (c *flight) complete() bool {
	for _, p := range c.places {
		if !p.done {
			return false
		}
	}
	return !c.seen.came.IsZero() && (c.log == nil || c.result.Record != "")
}

// lookInLog looks whether auditd has written the record.
func (c *flight) lookInLog() {
	if c.log == nil || c.result.Record != "" {
		return
	}
	found, err := c.log.look()
	if err != nil {
		c.log.close()
		c.log, c.logErr = nil, err
	}
	if found {
		c.result.Record = c.log.line
		c.arrive(&c.result.Arrivals, "audit.log")
		c.seen.millis = millisOf(c.log.line)
	}
}

func (c *flight) arrive(list *[]Arrival, name string) {
	*list = append(*list, Arrival{Place: name, Fate: Arrived, MS: c.since(time.Now()), By: "read"})
}

// since is how many ms after the making of the record t is.
func (c *flight) since(t time.Time) float64 { return float64(t.Sub(c.sent).Microseconds()) / 1000 }

// lookAt looks whether the canary is at a sink that can be read.
func (c *flight) lookAt(p *place) {
	if p.done || p.watch == nil {
		return
	}
	found, err := p.watch.look()
	switch {
	case found:
		p.arrival.Fate, p.arrival.MS, p.arrival.By, p.done = Arrived, c.since(time.Now()), "read", true
	case err != nil: // the counters have to do
		p.watch.close()
		p.watch, p.why = nil, err.Error()
	}
}

// finish makes the result of what was seen.
func (c *flight) finish() *Result {
	r := c.result
	r.ID, r.OK = c.id, true
	switch {
	case c.log == nil && c.logErr != nil:
		r.Arrivals = append(r.Arrivals, Arrival{Place: "audit.log", Fate: NotSeen, Text: c.logErr.Error()})
	case c.log != nil && r.Record == "":
		r.Arrivals = append(r.Arrivals, Arrival{Place: "audit.log", Fate: Late, Text: "auditd has not written it: see a rule that drops it (auditctl -l), and auditd"})
	}
	in := Arrival{Place: "relay", Fate: Late, Text: "it has not come to the relay: see audisp-relay doctor"}
	if !c.seen.came.IsZero() {
		in = Arrival{Place: "relay", Fate: Arrived, MS: c.since(c.seen.came), By: "counters"}
	}

	r.Arrivals = append(r.Arrivals, in)
	last := c.lastReport()
	for _, p := range c.places {
		c.explain(p, last)
		r.Arrivals = append(r.Arrivals, p.arrival)
	}
	r.Record = doctor.Printable(r.Record)
	for i := range r.Arrivals {
		r.Arrivals[i].Text = doctor.Printable(r.Arrivals[i].Text)
		r.OK = r.OK && r.Arrivals[i].Fate != Late
	}
	return r
}

// lastReport asks the relay about the sinks that were not reached, once for all of them, since a relay that does not
// answer takes a while. It is nil if the relay does not answer, and if all were reached.
func (c *flight) lastReport() *plugin.Report {
	if !slices.ContainsFunc(c.places, func(p *place) bool { return !p.done }) {
		return nil
	}
	r, err := c.Ask(c.RunDir)
	if err != nil {
		return nil
	}
	return r
}

func (c *flight) close() {
	if c.log != nil {
		c.log.close()
	}
	for _, p := range c.places {
		if p.watch != nil {
			p.watch.close()
		}
	}
}

var errNoRecord = errors.New("no record")
