package doctor

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"audisp-relay/host"
	"audisp-relay/plugin"
)

// TestWhatHangs: a question that gets no answer costs its fact, is not asked again, and is asked again
// once it has been answered.
func TestWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gatherer
		answer := make(chan int)
		var asked atomic.Int32
		question := func() Fact[int] {
			return ask(&g, "fact", func() (int, error) { asked.Add(1); return <-answer, nil })
		}
		for range 3 {
			if f := question(); f.Known() {
				t.Errorf("known: %d", f.Value)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		answer <- 1
		synctest.Wait()
		go func() { answer <- 2 }()
		if f := question(); f.Value != 2 || !f.Known() {
			t.Errorf("got %+v", f)
		}
	})
}

// TestHungDisk: a disk that does not answer says nothing of what is on it.
func TestHungDisk(t *testing.T) {
	hung := fmt.Errorf("%w in 3s", errNoAnswer)
	f := &Facts{Limits: DefaultLimits()}
	f.Auditd.Value.PID = 7
	f.Holder.Value.Comm = "auditd"
	f.Kernel.Value = host.KernelStatus{PID: 7, Enabled: 1}
	f.Auditd.Value.Conf.QDepth = 2000
	f.Plugins.Err, f.Programs.Err, f.Config.Err, f.Report.Err = hung, hung, hung, plugin.ErrNotRunning
	r := Diagnose(f, Checks())
	if got, want := labels(r.Findings), []string{CodeUnknown}; !reflect.DeepEqual(got, want) {
		t.Fatalf("findings %+v, want %q", r.Findings, want)
	}
	if e := r.Findings[0].Evidence; strings.Count(e, "no answer") != 3 {
		t.Errorf("evidence %q", e)
	}
}

// TestAskSurvivesPanics: a panic costs its fact.
func TestAskSurvivesPanics(t *testing.T) {
	var g Gatherer
	if f := ask(&g, "fact", func() (int, error) { panic("no") }); f.Err == nil || f.Err.Error() != "failed: no" {
		t.Errorf("got %+v", f)
	}
}
