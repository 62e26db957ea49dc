package event

import "math/bits"

// windowSize is how many serials of a node are remembered, counted back from the
// newest: a minute's at 4000 events a second. A power of two.
const windowSize = 1 << 18

// window says of the last windowSize serials up to high which were seen. Serials
// are compared by their difference, so they may run over the end of uint32.
type window struct {
	bits [windowSize / 64]uint64
	high uint32
}

// holds reports whether serial lies in the window.
func (w *window) holds(serial uint32) bool { return w.high-serial < windowSize }

// seen reports whether serial, which lies in the window, was marked.
func (w *window) seen(serial uint32) bool {
	return w.bits[serial%windowSize/64]>>(serial%64)&1 != 0
}

// mark marks serial, which lies in the window.
func (w *window) mark(serial uint32) {
	w.bits[serial%windowSize/64] |= 1 << (serial % 64)
}

// markRun marks those of first to last that lie in the window.
func (w *window) markRun(first, last uint32) {
	if low := w.high - windowSize + 1; int32(first-low) < 0 {
		first = low
	}
	for s := first; int32(last-s) >= 0 && w.holds(s); s++ {
		w.mark(s)
	}
}

// unmarkRun takes back the marks of first to last, which lie in the window.
func (w *window) unmarkRun(first, last uint32) {
	for s := first; int32(last-s) >= 0; s++ {
		w.bits[s%windowSize/64] &^= 1 << (s % 64)
	}
}

// advance makes serial, which is newer than high, the newest one. Those between
// are not seen.
func (w *window) advance(serial uint32) {
	if serial-w.high >= windowSize {
		w.bits = [windowSize / 64]uint64{}
		w.high = serial
		return
	}
	for s := w.high + 1; ; {
		if s%64 == 0 && serial-s >= 63 {
			w.bits[s%windowSize/64] = 0
			s += 64
		} else {
			w.bits[s%windowSize/64] &^= 1 << (s % 64)
			s++
		}
		if s == serial+1 {
			break
		}
	}
	w.high = serial
}

// run returns how many of the n serials from serial on, at most, are alike: all
// seen or all not. n is at least 1 and all n lie in the window.
func (w *window) run(serial, n uint32) (length uint32, seen bool) {
	seen = w.seen(serial)
	for length < n {
		word := w.bits[(serial+length)%windowSize/64]
		if seen {
			word = ^word
		}
		bit := (serial + length) % 64
		if word >>= bit; word != 0 {
			return min(n, length+uint32(bits.TrailingZeros64(word))), seen
		}
		length += 64 - bit
	}
	return n, seen
}
