package metrics

import (
	"fmt"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
)

// fqName is how a Desc shows its name, which it gives in no other way.
var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// Names returns the names of the relay's own metrics.
func Names() []string { return NamesOf(newCollector(nil)) }

// NamesOf returns the names of what a collector has.
func NamesOf(c prometheus.Collector) (names []string) {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for d := range descs {
		names = append(names, fqName.FindStringSubmatch(fmt.Sprint(d))[1])
	}
	return names
}
