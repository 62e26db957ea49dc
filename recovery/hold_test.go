package recovery

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/integrity"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// TestShortLinesThatWaitAreBounded: what is known of a line takes more memory than the line itself does, where that has next to
// nothing in it.
func TestShortLinesThatWaitAreBounded(t *testing.T) {
	p := newModel(1, 0).player(t, integrity.NewTracker(integrity.Options{}), filepath.Join(t.TempDir(), "audit.log"))
	p.f.o.MaxHeld = 2 << 20
	p.f.letLogLead(time.Now(), 0, time.Hour)
	p.log.WriteString(userLine(1000, "login") + strings.Repeat("\n", 1<<20))
	p.f.readLogOnce()
	if lines := p.f.awaited.end(); lines > 2*stream.BufferSize {
		t.Errorf("%d lines of the log wait", lines)
	}

	b := batchOf(strings.Repeat("\n", 1000))
	p.f.Take(b)
	if want := 1000 * leastSize; p.f.heldSize != want {
		t.Errorf("%d lines of the stream count for %d bytes, want %d", len(b.Recs), p.f.heldSize, want)
	}
	p.f.readLogOnce()
	p.f.Finish(time.Now().Add(time.Minute))
	if p.f.heldSize != 0 || p.f.pending.size != 0 {
		t.Errorf("%d and %d bytes wait at the end", p.f.heldSize, p.f.pending.size)
	}
}

// TestLinesWithoutAnIDAreApart: a damaged log may have any number of them, and each is looked for by itself.
func TestLinesWithoutAnIDAreApart(t *testing.T) {
	g := awaited{base: 1}
	b := batchOf("one\ntwo\nthree\ntwo\n")
	for i := range b.Recs {
		g.add(b, i, time.Time{}, 0)
	}
	if len(g.kinds) != 3 {
		t.Errorf("%d kinds, want 3", len(g.kinds))
	}
	for _, want := range []uint64{2, 4} {
		n, ok := g.find(b.ID(1))
		if !ok || n != want {
			t.Errorf("the second is found as %d, %v, want %d", n, ok, want)
		}
		g.forget(n)
	}
	if _, ok := g.find(b.ID(3)); ok || len(g.kinds) != 2 || !g.kindOpen(b.ID(0)) || !g.kindOpen(b.ID(2)) {
		t.Errorf("found again, or others are gone: %v", g.kinds)
	}
}

func (g *awaited) kindOpen(id record.ID) bool { _, ok := g.find(id); return ok }
