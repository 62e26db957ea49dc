package replay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

// Explained is what a stored stream holds, by what one would filter it, and what a
// filter does with it.
type Explained struct {
	Filter string // "": all are kept
	Volume
	ByKey, ByType, ByExe map[string]*Volume
	LeftOut              map[string]*Reason // by the part of the filter that decided
	Failed               uint64             // events that the filter failed on: they are kept
	Unread               uint64             // and records without a readable header
}

// Volume is how much something is.
type Volume struct {
	Events, Records, Bytes uint64
	Kept                   uint64 // of the events
}

func (v *Volume) add(b *record.Batch, i, j int, kept bool) {
	v.Events++
	v.Records += uint64(j - i)
	for ; i < j; i++ {
		v.Bytes += uint64(b.Recs[i].Len)
	}
	if kept {
		v.Kept++
	}
}

// Reason is a part of a filter that left events out.
type Reason struct {
	Value  bool // of the part: "not (...)" leaves out by a true one
	Events uint64
	First  string // the id of the first such event
	Fields string // and what its fields are
}

// Explain reads stored streams as Run does and delivers nothing. Of from, Sink is
// not used.
func Explain(ctx context.Context, from Stored) (*Explained, Result, error) {
	x := &Explained{Filter: from.Filter, ByKey: map[string]*Volume{}, ByType: map[string]*Volume{}, ByExe: map[string]*Volume{}, LeftOut: map[string]*Reason{}}
	sink := &explainer{Explained: x}
	if from.Filter != "" {
		f, err := filter.CompileWith(from.Filter, from.Rules)
		if err != nil {
			return nil, Result{}, fmt.Errorf("filter: %w", err)
		}
		match := f.New()
		match.Processes = from.Processes
		sink.judge = consumer.NewJudge(match)
	}
	// Whole events, and all of them: the filter is asked here.
	from.Sink, from.Filter, from.Format = sink, "", "json"
	done, err := Run(ctx, from)
	return x, done, err
}

// explainer is a sink that counts events.
type explainer struct {
	*Explained
	judge *consumer.Judge // nil: all are kept
	facts filter.FactsReader
}

func (x *explainer) Reopen()              {}
func (x *explainer) Status() sinks.Status { return sinks.Status{} }

func (x *explainer) Run(ctx context.Context, q *queue.Queue) {
	cur := q.Cursor()
	defer cur.Close()
	for {
		b, err := cur.Next(ctx)
		if err != nil {
			return
		}
		for i := 0; i < len(b.Recs); {
			j := format.EventEnd(&b, i)
			x.event(&b, i, j)
			i = j
		}
		cur.Advance(len(b.Recs))
	}
}

func (x *explainer) event(b *record.Batch, i, j int) {
	kept := true
	if x.judge != nil {
		var err error
		if kept, err = x.judge.Keep(b, i, j); consumer.IsUnread(err) {
			x.Unread++
		} else if err != nil {
			x.Failed++
		}
		if !kept {
			x.reason(b, i, j)
		}
	}

	x.add(b, i, j, kept)
	count := func(by map[string]*Volume, name string) {
		if by[name] == nil && len(by) >= maxNames {
			name = otherNames
		}
		if by[name] == nil {
			by[name] = new(Volume)
		}
		by[name].add(b, i, j, kept)
	}

	typ, exe, keys := x.describe(b, i, j)
	count(x.ByType, typ)
	count(x.ByExe, exe)
	for _, key := range keys {
		count(x.ByKey, key)
	}
}

// reason notes which part of the filter left an event out: the innermost one on
// which all rests.
func (x *explainer) reason(b *record.Batch, i, j int) {
	steps := x.judge.Match.Explain(b, i, j)
	at := 0
	for {
		kid, n := 0, 0
		for k := at + 1; k < len(steps) && steps[k].Depth > steps[at].Depth; k++ {
			if steps[k].Depth == steps[at].Depth+1 && steps[k].Decided {
				kid = k
				n++
			}
		}
		if n != 1 {
			break
		}
		at = kid
	}

	s := steps[at]
	if steps[0].Value { // by itself it would not be
		s = filter.Step{Expr: "part of an event that was left out"}
	}
	r := x.LeftOut[s.Expr]
	if r == nil {
		r = &Reason{Value: s.Value, First: string(record.Parse(b, i).ID), Fields: s.Fields}
		x.LeftOut[s.Expr] = r
	}
	r.Events++
}

// describe returns type, executable and keys of an event as they are listed: what a filter
// sees of it. Of a system call the type has its name.
func (x *explainer) describe(b *record.Batch, i, j int) (typ, exe string, keys []string) {
	f := x.facts.Read(b, i, j)
	if typ, keys = cmp.Or(f.MainType, "(none)"), f.Keys; f.Syscall != "" {
		typ += " " + f.Syscall
	}
	if len(keys) == 0 {
		keys = []string{"(none)"}
	}
	slices.Sort(keys)
	return typ, cmp.Or(f.Exe, "(none)"), slices.Compact(keys)
}

// maxNames is how many keys, types and executables are counted one by one: any process may run programs of ever new names.
// Further ones are otherNames together.
const (
	maxNames   = 1 << 16
	otherNames = "(others)"
)

// listed is how many lines each list has.
const listed = 20

// WriteText writes it as tables.
func (x *Explained) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "%d events, %d records, %.1f MiB\n", x.Events, x.Records, float64(x.Bytes)/(1<<20))
	if x.Filter != "" {
		fmt.Fprintf(tw, "%d kept (%.1f %%) by %s\n", x.Kept, percent(x.Kept, x.Events), x.Filter)
		x.writeReasons(tw)
	}

	for _, list := range []struct {
		name string
		of   map[string]*Volume
	}{{"key", x.ByKey}, {"type", x.ByType}, {"executable", x.ByExe}} {
		fmt.Fprintf(tw, "\nEVENTS\tOF ALL\tRECORDS\tKIB\tKEPT\t%s\n", strings.ToUpper(list.name))
		names := slices.SortedFunc(maps.Keys(list.of), func(a, b string) int {
			return cmp.Or(cmp.Compare(list.of[b].Events, list.of[a].Events), cmp.Compare(a, b))
		})
		for i, name := range names {
			if i == listed {
				fmt.Fprintf(tw, "\t\t\t\t\t%d more\n", len(names)-i)
				break
			}
			v := list.of[name]
			fmt.Fprintf(tw, "%d\t%.1f %%\t%d\t%.1f\t%d\t%s\n", v.Events, percent(v.Events, x.Events), v.Records, float64(v.Bytes)/1024, v.Kept, config.OneLine(name))
		}
	}
	return tw.Flush()
}

func (x *Explained) writeReasons(tw io.Writer) {
	if x.Unread > 0 {
		fmt.Fprintf(tw, "%d of these are records without a readable type and id\n", x.Unread)
	}
	if x.Failed > 0 {
		fmt.Fprintf(tw, "%d of these because the filter fails on them\n", x.Failed)
	}
	exprs := slices.SortedFunc(maps.Keys(x.LeftOut), func(a, b string) int {
		return cmp.Or(cmp.Compare(x.LeftOut[b].Events, x.LeftOut[a].Events), cmp.Compare(a, b))
	})
	if len(exprs) == 0 {
		return
	}
	fmt.Fprintf(tw, "\nLEFT OUT\tBECAUSE\tOF\tFOR EXAMPLE\n")
	for _, expr := range exprs {
		r := x.LeftOut[expr]
		fmt.Fprintf(tw, "%d\t%v\t%s\t%s: %s\n", r.Events, r.Value, config.OneLine(expr), r.First, config.OneLine(r.Fields))
	}
}

func percent(n, of uint64) float64 { return 100 * float64(n) / float64(max(of, 1)) }
