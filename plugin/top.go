package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/host/broker"
	"audisp-relay/plugin/top"
)

// newMeter returns what counts which keys, programs and so on make the volume.
func (p *Plugin) newMeter() *top.Meter {
	exe, err := os.Executable()
	if err != nil {
		exe = "" // no /proc: then what the relay itself does is recognised by nothing
	}
	m := top.New(top.Self{Pid: broker.Pid(), Exe: exe})
	m.Panicked = func(fault any) { p.faults.Note("top", nil, 0, 0, fault) }
	return m
}

// startMeter counts what is picked. What it returns ends that.
func (p *Plugin) startMeter() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() { p.meter.Run(ctx) })
	return func() {
		cancel()
		awaitFor(leaveTime, ended)
	}
}

// observe has the meter pick records of what came now. One that it panics over costs nothing else.
func (p *Plugin) observe(b *record.Batch, now time.Time) {
	defer func() {
		if fault := recover(); fault != nil {
			p.faults.Note("top", b, 0, len(b.Recs), fault)
		}
	}()
	p.meter.Observe(b, now)
}

// answerTop writes what the meter has counted.
func (p *Plugin) answerTop(ctx context.Context, w io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	r, err := p.meter.Report(ctx)
	if err != nil {
		json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		return
	}
	json.NewEncoder(w).Encode(r)
}

// QueryTop asks the plugin whose run_dir is dir what makes the volume.
func QueryTop(dir string) (*top.Report, error) {
	var answer struct {
		*top.Report
		Error string `json:"error"`
	}
	if err := ask(dir, "top", &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != "":
		return nil, fmt.Errorf("the plugin does not say what makes the volume: %s", answer.Error)
	case answer.Report == nil:
		return nil, errors.New("the plugin's answer is empty")
	}
	return answer.Report, nil
}
