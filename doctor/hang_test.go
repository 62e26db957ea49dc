package doctor

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// TestAskSurvivesPanics: a panic costs its fact.
func TestAskSurvivesPanics(t *testing.T) {
	var g Gatherer
	if f := ask(&g, "fact", func() (int, error) { panic("no") }); f.Err == nil || f.Err.Error() != "failed: no" {
		t.Errorf("got %+v", f)
	}
}
