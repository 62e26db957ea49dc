package sigma

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/filter"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// publishedRules returns the rules below the directory that AUDISP_SIGMA names, but for those of other log sources. They are not ours to
// keep here.
func publishedRules(t testing.TB) (rules []Rule) {
	dir := os.Getenv("AUDISP_SIGMA")
	if dir == "" {
		t.Skip("AUDISP_SIGMA is not set")
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all, err := Convert(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, r := range all {
			if errors.Is(r.Err, ErrElsewhere) {
				continue
			}
			if r.Err != nil {
				t.Logf("%s: %v", filepath.Base(path), r.Err)
			}
			rules = append(rules, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestPublishedRules counts what converts.
func TestPublishedRules(t *testing.T) {
	rules := publishedRules(t)
	refused := 0
	for _, r := range rules {
		if r.Err != nil {
			refused++
		}
	}
	t.Logf("%d converted, %d not", len(rules)-refused, refused)
	if len(rules) < 21*refused {
		t.Errorf("%d of %d not converted", refused, len(rules))
	}
}

// publishedSet returns the set of all that convert, by numbers, and their expressions.
func publishedSet(t testing.TB) (set *filter.RuleSet, sources map[string]string) {
	sources = make(map[string]string)
	for i, r := range publishedRules(t) {
		if r.Err == nil {
			sources[strconv.Itoa(i)] = r.Expr
		}
	}
	set, errs, _ := filter.NewRules(sources)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return set, sources
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// TestPublishedRulesAreAsFilters: what they say together of an event is what each says as a filter, of captured events and of some that
// are made of the words in the rules.
func TestPublishedRulesAreAsFilters(t *testing.T) {
	set, sources := publishedSet(t)
	var words []string
	alone := make(map[string]*filter.Matcher)
	for name, src := range sources {
		f, err := filter.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		alone[name] = f.New()
		for _, q := range quoted.FindAllString(src, -1) {
			if w, err := strconv.Unquote(q); err == nil {
				words = append(words, w)
			}
		}
	}
	slices.Sort(words)

	rules, holds, not := set.New(), 0, 0
	ask := func(b *record.Batch, i, j int) {
		got := rules.Match(b, i, j)
		for name, m := range alone {
			want, err := m.Keep(b, i, j)
			want = want && err == nil
			if slices.Contains(got, name) != want {
				t.Fatalf("%s\n%q\n%v together, alone %v, %v", sources[name], b.Buf[b.Recs[i].Off:], !want, want, err)
			}
			if want {
				holds++
			} else {
				not++
			}
		}
	}
	b := capturedEvents(t)
	for i, j := range events(b) {
		ask(b, i, j)
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return words[random.IntN(len(words))] }
	for range 300 {
		for _, records := range [][]string{exec(pick(), pick(), pick(), pick()+" "+pick(), pick()), file(pick(), pick(), "CREATE"), paths(pick(), pick()+pick()), call(random.IntN(400), "26", pick())} {
			b := batchOf(t, stringStream(records))
			ask(b, 0, len(b.Recs))
		}
	}
	t.Logf("%d hold, %d do not", holds, not)
	if holds < 100 {
		t.Error("that compares little")
	}
}

// capturedEvents returns events as auditd has given them.
func capturedEvents(t testing.TB) *record.Batch {
	return batchOf(t, captures.Read(t, "audit-4.2.1-enriched.string.gz"))
}

// events goes through the events of a batch.
func events(b *record.Batch) func(yield func(i, j int) bool) {
	return func(yield func(i, j int) bool) {
		for i := 0; i < len(b.Recs); {
			j := i + 1
			for j < len(b.Recs) && b.Recs[j].Serial == b.Recs[i].Serial && b.Recs[j].Millis == b.Recs[i].Millis {
				j++
			}
			if !yield(i, j) {
				return
			}
			i = j
		}
	}
}

// BenchmarkPublishedRules is what an event costs: an execve, one with many kilobytes of arguments, one with names of files, another.
func BenchmarkPublishedRules(b *testing.B) {
	set, _ := publishedSet(b)
	all := capturedEvents(b)
	kinds := make(map[string][][2]int)
	for i, j := range events(all) {
		kind := "other"
		has := func(typ uint32) bool {
			return slices.ContainsFunc(all.Recs[i:j], func(r record.Record) bool { return r.Type == typ })
		}
		switch {
		case has(record.TypeExecve) && bytesOf(all, i, j) > 4096:
			kind = "long exec"
		case has(record.TypeExecve):
			kind = "exec"
		case has(record.TypePath):
			kind = "file"
		}
		kinds[kind] = append(kinds[kind], [2]int{i, j})
	}
	for _, kind := range []string{"exec", "long exec", "file", "other"} {
		b.Run(kind, func(b *testing.B) {
			rules, some := set.New(), kinds[kind]
			size := 0
			for _, e := range some {
				size += bytesOf(all, e[0], e[1])
			}
			b.Logf("%d events of %d bytes", len(some), size/len(some))
			b.ReportAllocs()
			from := lab.OwnCPU(b)
			for n := 0; b.Loop(); n++ {
				e := some[n%len(some)]
				rules.Match(all, e[0], e[1])
			}
			b.ReportMetric(float64(lab.OwnCPU(b)-from)/float64(b.N), "cpu-ns/op")
		})
	}
}

// bytesOf returns how long the records of an event are together.
func bytesOf(b *record.Batch, i, j int) (n int) {
	for k := i; k < j; k++ {
		n += len(b.Bytes(k))
	}
	return n
}
