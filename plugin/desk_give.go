package plugin

import (
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/state"
)

// How long a worker waits for its directories, at its start and at a reload: their disk may hang, and much may be in them. At a reload
// most are given already, and its main goroutine has more to do than to wait.
const (
	giveTime      = 3 * time.Second
	giveAgainTime = 300 * time.Millisecond
)

// give begins to give the worker its directories of the configuration. The caller holds mu.
func (d *desk) give() {
	if d.gives { // that disk hangs, or has much to do
		return
	}
	d.gives = true
	d.giving = inBackground(d.giveDirs)
}

// giveDirs gives the worker the directories in which it alone makes files, until the configuration stays the same
// meanwhile. The worker reports itself what it did not get: without state_dir it tries to open that from time to time.
func (d *desk) giveDirs() {
	for {
		cfg := d.config()
		uid, gid, err := broker.Account()
		for _, dir := range ownDirs(cfg) {
			if err != nil || d.hasGone() {
				break
			}
			d.p.sayStart(d.p.giveDir(dir, uid, gid))
			if !mayWriteIn(d.writable, dir) {
				d.p.sayLater(dir)
			}
		}

		d.mu.Lock()
		if d.cfg == cfg || d.closed {
			d.gives = false
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
	}
}

// hasGone reports whether the worker has ended.
func (d *desk) hasGone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *desk) serveState(c *broker.Call) (a broker.Answer, err error) {
	uid, gid, err := broker.Account()
	if err == nil && c.Op != state.OpMake {
		err = c.Unknown()
	}
	if err == nil {
		err = d.p.giveDir(d.started().StateDir, uid, gid)
	}
	return a, err
}

// giveDir gives a directory to a user, one directory at a time: two calls for different users at once would each give
// a part of it.
func (p *Plugin) giveDir(dir string, uid, gid int) error {
	p.giving.Lock()
	defer p.giving.Unlock()
	return p.giveState(dir, uid, gid)
}
