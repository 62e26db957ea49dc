package metrics

import (
	"fmt"
	"regexp"
)

// fqName is how a Desc shows its name, which it gives in no other way.
var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// Names returns the names of the relay's own metrics.
func Names() (names []string) {
	for _, d := range newCollector(nil).descs {
		names = append(names, fqName.FindStringSubmatch(fmt.Sprint(d))[1])
	}
	return names
}
