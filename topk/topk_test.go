package topk

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkBounds fails unless each answer of the sketches, and what they say of names that they do not
// keep, holds for the exact sums.
func checkBounds(t *rapid.T, exact map[string]Weights, capacity int, sketches ...*Sketch) {
	var sum, floor Weights
	for _, s := range sketches {
		if s.Len() > capacity {
			t.Fatalf("%d names are kept, the capacity is %d", s.Len(), capacity)
		}
		sum, floor = sum.Plus(s.Sum()), floor.Plus(s.Floor())
		if bound := s.Sum()[0] / float64(capacity); s.Floor()[0] > bound {
			t.Fatalf("floor %v, want at most %v", s.Floor()[0], bound)
		}
	}
	found := make(map[string]bool)
	for _, it := range Items(sketches...) {
		found[it.Name] = true
		for m, want := range exact[it.Name] {
			if it.Counted[m] > want || it.Counted[m]+it.Over[m] < want {
				t.Fatalf("%q, weight %d: %v to %v, in truth %v", it.Name, m, it.Counted[m], it.Counted[m]+it.Over[m], want)
			}
		}
		if it.Over[0] > sum[0]/float64(capacity) {
			t.Fatalf("%q: error %v of %v", it.Name, it.Over[0], sum[0])
		}
	}
	var all Weights
	for name, w := range exact {
		all = all.Plus(w)
		for m := range w {
			if !found[name] && w[m] > floor[m] {
				t.Fatalf("%q is not kept, weight %d is %v, more than %v", name, m, w[m], floor[m])
			}
		}
	}
	if all != sum {
		t.Fatalf("sum %v, want %v", sum, all)
	}
}

// TestBoundsHold: against exact counts, for one sketch and for some that are merged.
func TestBoundsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity, names := rapid.IntRange(1, 8).Draw(t, "capacity"), rapid.IntRange(1, 30).Draw(t, "names")
		seed := maphash.MakeSeed()
		sketches := make([]*Sketch, rapid.IntRange(1, 4).Draw(t, "sketches"))
		for i := range sketches {
			sketches[i] = New(capacity, seed)
		}
		exact := make(map[string]Weights)
		for range rapid.IntRange(0, 300).Draw(t, "adds") {
			// Whole numbers: then sums of float64 are exact.
			var w Weights
			for m := range w {
				w[m] = float64(rapid.IntRange(0, 5).Draw(t, "weight"))
			}
			name := fmt.Sprint("n", rapid.IntRange(0, names).Draw(t, "name")*rapid.IntRange(0, 1).Draw(t, "often"))
			rapid.SampledFrom(sketches).Draw(t, "sketch").Add([]byte(name), w)
			exact[name] = exact[name].Plus(w)
		}
		checkBounds(t, exact, capacity, sketches...)
	})
}

// TestMemoryIsBounded: millions of long names that never come again take no more than Size says,
// and a name that comes often is found among them.
func TestMemoryIsBounded(t *testing.T) {
	const capacity = 4096
	heapSize := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heapSize()
	s := New(capacity, maphash.MakeSeed())
	name := []byte(strings.Repeat("x", 4*MaxName))
	flood := func(n int) {
		for i := range n {
			copy(name, fmt.Appendf(nil, "%d-%p", i, &name))
			name[len(name)-1]++
			s.Add(name, Weights{1})
			if i%100 == 0 {
				s.Add([]byte("often"), Weights{1})
			}
		}
	}
	flood(300_000)
	after := heapSize()
	if size := int64(after) - int64(before); size > int64(Size(capacity)) {
		t.Errorf("%d bytes, Size says %d", size, Size(capacity))
	}
	if top := Items(s)[0]; top.Name != "often" || top.Cut || top.Counted[0] == 0 {
		t.Errorf("%+v", top)
	}
	if s.Len() != capacity {
		t.Errorf("%d names", s.Len())
	}
	if !Items(s)[1].Cut || len(Items(s)[1].Name) != MaxName {
		t.Errorf("a long name is not cut")
	}
}

// TestLongNamesStayApart: names that differ only after what is kept are two.
func TestLongNamesStayApart(t *testing.T) {
	s := New(4, maphash.MakeSeed())
	long := strings.Repeat("a", MaxName)
	s.Add([]byte(long), Weights{1})
	s.Add([]byte(long+"1"), Weights{2})
	s.Add([]byte(long+"2"), Weights{3})
	items := Items(s)
	if len(items) != 3 || items[0].Counted[0] != 3 || !items[0].Cut || items[2].Cut {
		t.Errorf("%+v", items)
	}
	s.Reset()
	if len(Items(s)) != 0 || s.Sum() != (Weights{}) {
		t.Error("Reset leaves something")
	}
}

func BenchmarkAdd(b *testing.B) {
	s := New(128, maphash.MakeSeed())
	for i := range 128 {
		s.Add(fmt.Append(nil, "/usr/bin/", i), Weights{float64(i)})
	}
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Add([]byte("/usr/bin/42"), Weights{1, 1, 1})
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		name := []byte("/usr/bin/00000000")
		for i := 0; b.Loop(); i++ {
			for k := range 8 {
				name[9+k] = '0' + byte(i>>(4*k)&15)
			}
			s.Add(name, Weights{1, 1, 1})
		}
	})
}
