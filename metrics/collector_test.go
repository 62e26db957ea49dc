package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
)

// TestPanicsEndOneCollection: a report that cannot be made, or not be read, costs the answer, not the
// relay, and the answer does not have the stack.
func TestPanicsEndOneCollection(t *testing.T) {
	for name, report := range map[string]func() *plugin.Report{
		"panic": func() *plugin.Report { panic("test") },
		"none":  func() *plugin.Report { return nil },
		"label": func() *plugin.Report {
			return &plugin.Report{Consumers: []consumer.Report{{Name: "\xff", Delivery: new(consumer.DeliveryReport)}}}
		},
		"part": func() *plugin.Report { return &plugin.Report{Consumers: []consumer.Report{{Name: "a"}}} },
	} {
		e := New(report)
		answer := httptest.NewRecorder()
		e.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		text := answer.Body.String()
		if err := e.WriteText(answer); answer.Code != 500 || err == nil || strings.Contains(text, "goroutine") {
			t.Errorf("%s: status %d, %v, %s", name, answer.Code, err, text)
		}
	}
}
