package integrity

import "math/bits"

// windowSize is how many serials of a node are remembered, counted back from the
// newest: a minute's at 4000 events a second. A power of two.
const windowSize = 1 << 18

// A window is kept in pages, so that a node of a few events, or one that lacks nothing,
// takes little: a page without a seen serial is nil, one whose serials were all seen is
// fullPage.
const (
	pageSize   = 1 << 12 // serials
	pagesInAll = windowSize / pageSize
)

type page [pageSize / 64]uint64

var fullPage = func() (p page) {
	for i := range p {
		p[i] = ^uint64(0)
	}
	return p
}()

// pages counts the pages of all windows.
type pages struct{ used int }

// get returns a page that is a copy of p, empty where that is nil. It is one for some
// thousand records, so that none are kept to be used again.
func (s *pages) get(p *page) *page {
	s.used++
	q := new(page)
	if p != nil {
		*q = *p
	}
	return q
}

// put takes a page back.
func (s *pages) put(p *page) {
	if p != nil && p != &fullPage {
		s.used--
	}
}

// window says of the last windowSize serials up to high which were seen. Serials
// are compared by their difference, so they may run over the end of uint32.
type window struct {
	pages  [pagesInAll]*page
	high   uint32
	shared *pages // where pages come from
}

// holds reports whether serial lies in the window.
func (w *window) holds(serial uint32) bool { return w.high-serial < windowSize }

// word returns the 64 marks that serial's is among.
func (w *window) word(serial uint32) uint64 {
	p := w.pages[serial%windowSize/pageSize]
	if p == nil {
		return 0
	}
	return p[serial%pageSize/64]
}

// seen reports whether serial, which lies in the window, was marked.
func (w *window) seen(serial uint32) bool { return w.word(serial)>>(serial%64)&1 != 0 }

// mark marks serial, which lies in the window.
func (w *window) mark(serial uint32) {
	at := &w.pages[serial%windowSize/pageSize]
	if *at == nil {
		*at = w.shared.get(nil)
	} else if *at == &fullPage {
		return
	}
	(*at)[serial%pageSize/64] |= 1 << (serial % 64)
}

// unmark takes back the marks in mask of the 64 that serial's is among.
func (w *window) unmark(serial uint32, mask uint64) {
	at := &w.pages[serial%windowSize/pageSize]
	if *at == nil {
		return
	}
	if *at == &fullPage {
		*at = w.shared.get(&fullPage)
	}
	(*at)[serial%pageSize/64] &^= mask
}

// set makes p, nil or fullPage, the page that serial is in.
func (w *window) set(serial uint32, p *page) {
	at := &w.pages[serial%windowSize/pageSize]
	w.shared.put(*at)
	*at = p
}

// clear forgets all serials.
func (w *window) clear() {
	for s := uint32(0); s < windowSize; s += pageSize {
		w.set(s, nil)
	}
}

// markRun marks those of first to last that lie in the window.
func (w *window) markRun(first, last uint32) {
	if low := w.high - windowSize + 1; int32(first-low) < 0 {
		first = low
	}
	for s := first; int32(last-s) >= 0 && w.holds(s); {
		if s%pageSize == 0 && last-s >= pageSize-1 && w.high-s >= pageSize-1 {
			w.set(s, &fullPage)
			s += pageSize
			continue
		}
		w.mark(s)
		s++
	}
}

// unmarkRun takes back the marks of first to last, which lie in the window.
func (w *window) unmarkRun(first, last uint32) {
	for s := first; int32(last-s) >= 0; s++ {
		w.unmark(s, 1<<(s%64))
	}
}

// advance makes serial, which is newer than high, the newest one. Those between
// are not seen.
func (w *window) advance(serial uint32) {
	if serial-w.high >= windowSize {
		w.clear()
		w.high = serial
		return
	}

	for s := w.high + 1; ; {
		if s%pageSize == 0 {
			w.fold(s - 1)
		}
		switch {
		case s%pageSize == 0 && serial-s >= pageSize-1:
			w.set(s, nil)
			s += pageSize
		case s%64 == 0 && serial-s >= 63:
			w.unmark(s, ^uint64(0))
			s += 64
		default:
			w.unmark(s, 1<<(s%64))
			s++
		}
		if s == serial+1 {
			break
		}
	}

	w.high = serial
}

// fold gives up the page that serial is in where its marks are all alike.
func (w *window) fold(serial uint32) {
	p := w.pages[serial%windowSize/pageSize]
	if p == nil || p == &fullPage {
		return
	}
	switch *p {
	case fullPage:
		w.set(serial, &fullPage)
	case page{}:
		w.set(serial, nil)
	}
}

// run returns how many of the n serials from serial on, at most, are alike: all
// seen or all not. n is at least 1 and all n lie in the window.
func (w *window) run(serial, n uint32) (length uint32, seen bool) {
	seen = w.seen(serial)
	for length < n {
		word := w.word(serial + length)
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
