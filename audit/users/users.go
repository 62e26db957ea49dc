// Package users says what user and group ids are called on this host.
//
// It reads the files of users and groups itself, and for what these lack asks
// getent(1), which knows the host's other sources (LDAP, systemd). A look-up never waits and
// takes no lock: what is not known yet is fetched in the background, by one goroutine.
package users

import (
	"context"
	"maps"
	"sync/atomic"
	"time"
)

// unset is an id that is not set, (uid_t)-1: it has no name and is not asked for.
const unset = 4294967295

const (
	// lookEvery is how often the files are looked at.
	lookEvery = 5 * time.Second
	// askEvery is the least time between two runs of getent.
	askEvery = 250 * time.Millisecond
	// knownFor is how long a name that getent gave holds, unknownFor how long it holds
	// that it gave none.
	knownFor, unknownFor = time.Hour, 5 * time.Minute
	// maxAnswers bounds what is kept of a database's answers. At the rate above fewer
	// hold at a time but for names of an hour.
	maxAnswers = 8192
	// maxWaiting is how many ids wait to be asked for. More are asked for when they are
	// looked up again.
	maxWaiting = 64
)

// Names knows the names of user and group ids; "" means it does not, or not yet. It must not block.
// Users is one.
type Names interface {
	User(uid uint32) string
	Group(gid uint32) string
}

// Users knows the names of user and group ids. Its methods are for any number of
// goroutines, but for Close.
type Users struct {
	users, groups database
	asks          chan question // nil without getent
	ask           asker
	stop          context.CancelFunc
	done          chan struct{}
}

// database is one of the two kinds of ids.
type database struct {
	name string // as getent calls it
	// What look-ups read; the maps are never changed once they are here.
	file    atomic.Pointer[map[uint32]string]
	answers atomic.Pointer[map[uint32]answer]

	watched file // the goroutine's
}

// answer is what getent said: a name, or "" for none.
type answer struct {
	name  string
	until time.Time
}

// question is an id that is to be asked for.
type question struct {
	of *database
	id uint32
}

// sources are where names come from.
type sources struct {
	passwd, group string // files
	ask           asker  // knows what these lack; nil: nothing does
}

// Open reads the files and returns a Users, whose goroutine runs until Close. A file that
// cannot be read has no names, until it can.
func Open() *Users {
	return open(sources{"/etc/passwd", "/etc/group", asks()})
}

func open(from sources) *Users {
	ctx, stop := context.WithCancel(context.Background())
	u := &Users{ask: from.ask, stop: stop, done: make(chan struct{})}
	u.users.init("passwd", from.passwd)
	u.groups.init("group", from.group)
	if u.ask != nil {
		u.asks = make(chan question, maxWaiting)
	}
	go u.run(ctx)
	return u
}

func (d *database) init(name, path string) {
	d.name, d.watched = name, file{path: path}
	d.file.Store(new(map[uint32]string))
	d.answers.Store(&map[uint32]answer{})
	d.look()
}

// User returns the name of a user id, "" when it has none or it is not known yet.
func (u *Users) User(uid uint32) string { return u.find(&u.users, uid) }

// Group does for group ids what User does for user ids.
func (u *Users) Group(gid uint32) string { return u.find(&u.groups, gid) }

func (u *Users) find(d *database, id uint32) string {
	if name, ok := (*d.file.Load())[id]; ok {
		return name
	}
	if u.asks == nil || id == unset {
		return ""
	}
	a, ok := (*d.answers.Load())[id]
	if !ok {
		select {
		case u.asks <- question{d, id}:
		default:
		}
	}
	return a.name
}

// Close ends the goroutine and waits for it. What is known stays known.
func (u *Users) Close() {
	u.stop()
	<-u.done
}

// run looks at the files and asks what is to be asked, one at a time.
func (u *Users) run(ctx context.Context) {
	defer close(u.done)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var pause <-chan time.Time
	asks := u.asks

	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			for _, d := range []*database{&u.users, &u.groups} {
				d.look()
				d.expire(now)
			}
		case q := <-asks:
			if q.of.answer(ctx, q.id, u.ask) {
				asks, pause = nil, time.After(askEvery)
			}
		case <-pause:
			asks, pause = u.asks, nil
		}
	}
}

// look reads the file again if it is another than last time.
func (d *database) look() {
	if names := d.watched.read(); names != nil {
		d.file.Store(&names)
	}
}

// answer asks for an id, unless its answer has come since it was put in the queue.
func (d *database) answer(ctx context.Context, id uint32, ask asker) (asked bool) {
	old := *d.answers.Load()
	if _, ok := old[id]; ok || len(old) >= maxAnswers {
		return false
	}
	name := ask(ctx, d.name, id)
	if ctx.Err() != nil {
		return true
	}
	hold := unknownFor
	if name != "" {
		hold = knownFor
	}
	answers := maps.Clone(old)
	answers[id] = answer{name, time.Now().Add(hold)}
	d.answers.Store(&answers)
	return true
}

// expire forgets the answers that hold no longer.
func (d *database) expire(now time.Time) {
	old := *d.answers.Load()
	answers := maps.Clone(old)
	maps.DeleteFunc(answers, func(_ uint32, a answer) bool { return !now.Before(a.until) })
	if len(answers) < len(old) {
		d.answers.Store(&answers)
	}
}

// EveryNode as the name of this host says that every record is its own: its auditd hands
// on no records of others.
const EveryNode = "*"

// Local reports whether a record with that node=, empty without one, is of the host of
// that name.
func Local(node []byte, host string) bool {
	return len(node) == 0 || host == EveryNode || string(node) == host
}
