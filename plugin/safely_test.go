package plugin

import (
	"strings"
	"testing"

	"audisp-relay/plugin/consumer"
)

// TestSafelyCatchesPanics: what is done now and then costs nothing but itself when it panics.
func TestSafelyCatchesPanics(t *testing.T) {
	p := &Plugin{faults: new(consumer.Panics)}
	p.safely("watch", func() { panic("x") })
	p.safely("watch", func() {})
	if times, last := p.faults.Shown(); times != 1 || !strings.Contains(last, "event none, watch at safely_test.go:") {
		t.Errorf("%d, %s", times, last)
	}
}
