// Package metrics gives the numbers of a plugin's report in the format of Prometheus. Every name
// is one of docs/operating.md. No label has values without bound: what an event says, such as keys,
// programs and users, is none.
package metrics

import (
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"audisp-relay/plugin"
)

// maxRequests is how many requests are answered at a time; others get 503.
const maxRequests = 4

// exposition implements plugin.Exposition.
type exposition struct {
	http.Handler
	own prometheus.Gatherer // the relay's numbers alone
}

// New returns what gives the numbers of the reports that report returns, which any goroutine may
// call. nil means that there is none, and no numbers either. Its registries belong to it alone.
func New(report func() *plugin.Report) plugin.Exposition {
	own, all := prometheus.NewRegistry(), prometheus.NewRegistry()
	c := newCollector(report)
	own.MustRegister(c)
	all.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &exposition{
		Handler: promhttp.HandlerFor(all, promhttp.HandlerOpts{MaxRequestsInFlight: maxRequests}),
		own:     own,
	}
}

// WriteText implements plugin.Exposition. The numbers of the process are not there: node_exporter
// has its own of the same names, and refuses both where one text file has them, too.
func (e *exposition) WriteText(w io.Writer) error {
	families, err := e.own.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}
