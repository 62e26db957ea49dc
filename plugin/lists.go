package plugin

import (
	"context"
	"time"
)

// listsEvery is how often files that filters take values from are looked at: one stat a file, unless it has changed.
const listsEvery = 5 * time.Second

// lists has such files read again when they have changed, and at a reload. Its goroutine may hang with their disk.
type lists struct {
	now chan struct{} // asks for a look at once; has room for one
}

// startLists looks at the files from now on. What it returns ends that.
func (p *Plugin) startLists() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := inBackground(func() {
		tick := time.NewTicker(listsEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-p.lists.now:
			case <-ctx.Done():
				return
			}
			for _, c := range p.consumers() {
				p.safely("lists", c.RefreshLists)
			}
		}
	})

	return func() {
		cancel()
		awaitFor(leaveTime, ended)
	}
}

// refresh has the files looked at now. It does not wait for that.
func (l *lists) refresh() {
	select {
	case l.now <- struct{}{}:
	default: // asked for already
	}
}
