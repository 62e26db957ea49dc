// Package recent keeps what was lately: the values that a counter had some seconds ago, and what was
// lost within the last day. Both are bounded in size. Nothing here locks: whoever has one guards it.
package recent

import "time"

// Window holds the values of the last span of time, one for each step of it.
type Window[T any] struct {
	step, span time.Duration
	values     []stamped[T] // oldest first
}

type stamped[T any] struct {
	at    time.Time
	value T
}

// NewWindow returns a Window that reaches back for span, in steps.
func NewWindow[T any](span, step time.Duration) *Window[T] {
	return &Window[T]{step: step, span: span, values: make([]stamped[T], 0, span/step+2)}
}

// Note keeps the value of this moment, if the last one is a step old. It may be called more often
// than once a step, or less.
func (w *Window[T]) Note(now time.Time, value T) {
	n := len(w.values)
	if n > 0 && now.Sub(w.values[n-1].at) < w.step*9/10 { // a ticker is not that exact
		return
	}
	drop := 0 // the newest of those that are too old stays: Ago returns it
	for drop+1 < n && now.Sub(w.values[drop+1].at) >= w.span {
		drop++
	}
	if n-drop == cap(w.values) {
		drop++
	}
	w.values = append(w.values[:copy(w.values, w.values[drop:])], stamped[T]{now, value})
}

// Ago returns the value as it was a span ago, or the first one if there is none that old, and how
// long ago that is; false while there is none.
func (w *Window[T]) Ago(now time.Time) (value T, ago time.Duration, known bool) {
	if len(w.values) == 0 {
		return value, 0, false
	}
	k := 0
	for k+1 < len(w.values) && now.Sub(w.values[k+1].at) >= w.span {
		k++
	}
	return w.values[k].value, now.Sub(w.values[k].at), true
}

// Clear forgets all values: the counter was set.
func (w *Window[T]) Clear() { w.values = w.values[:0] }

// Rate returns by how much a counter grew in each second since it was before. One that was set
// back has not grown.
func Rate(now, before uint64, took time.Duration) float64 {
	if now <= before || took <= 0 {
		return 0
	}
	return float64(now-before) / took.Seconds()
}
