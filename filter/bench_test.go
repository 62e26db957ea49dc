package filter

import (
	"fmt"
	"strings"
	"testing"

	"audisp-relay/test/lab"
)

// BenchmarkKeep is what a filter costs an event of five records, ENRICHED.
func BenchmarkKeep(b *testing.B) {
	const keyAndID = `key in ["exec", "priv"] && auid >= 1000 && auid != unset`
	with := func(old, new string) []string {
		out := append([]string(nil), cat...)
		out[0] = strings.Replace(out[0], old, new, 1)
		return out
	}
	for _, c := range []struct {
		name, src string
		event     []string
		keep      bool
	}{
		{"key+id/match", keyAndID, cat, true},
		{"key+id/key", keyAndID, with(`key="priv"`, `key="fim"`), false},
		{"key+id/null", keyAndID, with(`key="priv"`, `key=(null)`), false},
		{"key+id/id", keyAndID, with("auid=1000", "auid=4294967295"), false},
		{"type", `type == "USER_LOGIN"`, cat, false},
		{"syscall", `syscall in ["open", "openat"] and exe == "/usr/bin/cat"`, cat, true},
		{"path_under", `path_under("/etc")`, cat, true},
		{"path", `path == "shadow" or path startsWith "/etc/"`, cat, true},
		{"user", `auser == "cloudsdk"`, cat, true},
		{"matches", `exe matches "^/usr/(local/)?bin/"`, cat, true},
		{"absent", `acct == "root"`, cat, false},
		{"computed", `lower(comm) == "cat" and auid + 1 == 1001`, cat, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			// Several, so that not all of it is in the nearest cache, and of other lengths.
			var all []string
			for i := range 64 {
				for _, r := range c.event {
					r = strings.Replace(r, ":1730626)", fmt.Sprintf(":%d)", 1730626+i), 1)
					r = strings.Replace(r, "pid=15765", fmt.Sprintf("pid=%d", 9990+i), 1)
					all = append(all, r)
				}
			}
			l := lines(b, all...)
			m := mustCompile(b, c.src).New()
			b.ReportAllocs()
			b.ResetTimer()
			from := lab.OwnCPU(b)
			for n := 0; b.Loop(); n++ {
				e := l.events[n%len(l.events)]
				if keep, err := m.Keep(&l.batch, e[0], e[1]); keep != c.keep || err != nil {
					b.Fatalf("keep %v, %v", keep, err)
				}
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-from)/float64(b.N), "cpu-ns/op")
		})
	}
}
