package plugin

import "time"

// every calls f each time that so long has passed, until stop is closed.
func every(pause time.Duration, stop <-chan struct{}, f func(now time.Time)) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			f(now)
		case <-stop:
			return
		}
	}
}

// inBackground calls f in a goroutine of its own. What it returns is closed when f has ended.
func inBackground(f func()) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return ended
}

// awaitFor waits until all of done are closed, for no longer than the limit, and reports whether
// they are.
func awaitFor(limit time.Duration, done ...<-chan struct{}) bool {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for _, d := range done {
		select {
		case <-d:
		case <-timeout.C:
			return false
		}
	}
	return true
}

// lastError is the text of the error that was logged last, so that one that lasts is logged once.
type lastError struct{ text string }

// replace keeps an error, nil for none, and reports whether it differs from the one before.
func (l *lastError) replace(err error) (changed bool) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	changed = l.text != text
	l.text = text
	return changed
}

// safely calls f, which does something that can be left out once. A panic in it is counted
// and logged.
func (p *Plugin) safely(what string, f func()) {
	defer func() {
		if fault := recover(); fault != nil {
			p.faults.Note(what, nil, 0, 0, fault)
		}
	}()
	f()
}
