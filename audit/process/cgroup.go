package process

import (
	"bytes"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// place is where the host's control groups have a process: the unit of its service manager, and its container; "" where it is in
// none.
type place struct{ unit, container string }

const (
	// lookTime bounds what look-ups may take of a second: some 700 of them. The kernel's lock of control groups may be held by
	// others meanwhile (kernel/cgroup/cgroup.c, proc_cgroup_show), and the reader waits for it.
	lookTime = 20 * time.Millisecond
	// argsTime bounds what expressions on arguments may take of a second: any process chooses its arguments so that they take
	// as long as they can.
	argsTime = 50 * time.Millisecond
	// maxLate is how long after its event a process is looked up, ms: later it may have moved.
	maxLate = 2000
	// maxCgroups is how much of a cgroup file is read, bytes. A user may have groups so deep that one line has 4 KiB.
	maxCgroups = 8192
	// maxPlaces bounds how many places are kept once for all processes in them.
	maxPlaces = 1024
)

// budget is the time that something has taken in the present second.
type budget struct {
	since time.Time
	spent time.Duration
}

// isLeft reports whether that is less than it may take.
func (b *budget) isLeft(now time.Time, of time.Duration) bool {
	if now.Sub(b.since) >= time.Second {
		*b = budget{since: now}
	}
	return b.spent < of
}

// Finder says in which unit of the host's service manager, and in which container, the process is that had a number at a time, ms
// since 1970. ok is false where that is not known. It is called with the table's lock held.
type Finder func(pid int, millis int64) (unit, container string, ok bool)

// FindInProc is a Finder that reads /proc, which takes some 30 us.
func FindInProc(pid int, millis int64) (unit, container string, ok bool) {
	is, ok := readPlace("/proc", pid, millis, time.Now().UnixMilli())
	return is.unit, is.container, ok
}

// SetPlaces sets what finds out where processes are from now on; nil ends that. The table does not ask where it cannot
// know the processes by their numbers.
func (t *Table) SetPlaces(f Finder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.Live && !t.follows {
		f = nil
	}
	if (f == nil) == (t.find == nil) {
		return
	}
	t.find = f
	if f != nil {
		return
	}
	for _, p := range t.started {
		p.place = nil
	}
	for p := t.oldest; p != nil; p = p.newer {
		p.place = nil
	}
}

// lookUp asks where a process is.
func (t *Table) lookUp(p *Process) (is place, ok bool) {
	is.unit, is.container, ok = t.find(int(p.pid), p.millis)
	return is, ok
}

// findStarted finds out, until a time, where the processes are that run already.
func (t *Table) findStarted(list []*Process, until time.Time) {
	if t.find == nil {
		return
	}
	for _, p := range list {
		if time.Now().After(until) {
			return
		}
		if is, ok := t.lookUp(p); ok {
			p.place = t.keepPlace(is)
		}
	}
}

// findPlace finds out where a process is that has become known: from /proc, else it takes the place of the process
// that this one inherits from.
func (t *Table) findPlace(p *Process) {
	if t.find == nil {
		return
	}
	now := t.now()
	if p.from.isUnsure() || !t.looked.isLeft(now, lookTime) {
		t.placeOf(p, 0)
		return
	}
	is, ok := t.lookUp(p)
	t.looked.spent += t.now().Sub(now)
	if !ok { // it has ended, most likely
		t.placeOf(p, 0)
		return
	}
	p.place = t.keepPlace(is)

	// A program that has moved a child to another place, as service managers and container runtimes do, may do it again.
	if parent := t.at(p.ppid, p.at()); parent != nil && parent.place != nil && *parent.place != is {
		parent.state |= moves
	}
}

// placeOf returns where p is, as far as that is known, nil else.
func (t *Table) placeOf(p *Process, steps int) *place {
	if p.place != nil || steps == maxHeirs || t.find == nil {
		return p.place
	}
	from, sure := t.inheritsFrom(p)
	if from == nil || (from.pid != p.pid && from.state&moves != 0) {
		return nil
	}
	is := t.placeOf(from, steps+1)
	if sure {
		p.place = is
	}
	return is
}

// keepPlace returns the one place of that kind.
func (t *Table) keepPlace(is place) *place {
	if kept := t.places[is]; kept != nil {
		return kept
	}
	if t.places == nil || len(t.places) >= maxPlaces {
		t.places = make(map[place]*place)
	}
	is = place{strings.Clone(is.unit), strings.Clone(is.container)} // they are parts of a line of up to 4 KiB
	t.places[is] = &is
	return &is
}

// readPlace reads where a process is that ran at a time; it and now are ms since 1970. ok is false in three cases: the
// process has ended since, so that the one that has its number was started later; that time was long ago; or the clock
// was set back since, so that whatever has the number seems to have been started before.
func readPlace(proc string, pid int, millis, now int64) (is place, ok bool) {
	if now-millis > maxLate || millis > now {
		return is, false
	}
	dir := filepath.Join(proc, strconv.Itoa(pid))
	s, ok := readStat(dir)
	ticks, okTicks := record.ParseInt([]byte(s.start))
	if !ok || !okTicks || ticks > 1<<50 || bootMillis()+ticks*10 > millis+coarse { // USER_HZ is 100 wherever Go runs
		return is, false
	}
	text, err := readSome(filepath.Join(dir, "cgroup"), maxCgroups)
	if err != nil {
		return is, false
	}
	return parsePlace(text), true
}

// bootMillis returns when the host was booted, ms since 1970 by the clock as it is now.
func bootMillis() int64 {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return math.MaxInt64 / 2
	}
	return time.Now().UnixMilli() - up.Nano()/1e6
}

// parsePlace reads a cgroup file (cgroups(7)): a line "NUMBER:CONTROLLERS:PATH" for each hierarchy, of which systemd has its own
// or the one without controllers.
func parsePlace(text []byte) (is place) {
	main := ""
	for line := range bytes.Lines(text) {
		whole, ok := strings.CutSuffix(string(line), "\n")
		if !ok { // the file is longer: the last name may be the beginning of another
			whole = whole[:max(0, strings.LastIndexByte(whole, '/'))]
		}
		parts := strings.SplitN(whole, ":", 3)
		if len(parts) < 3 {
			continue
		}
		path := strings.TrimSuffix(parts[2], " (deleted)")
		if parts[1] == "name=systemd" || (parts[1] == "" && main == "") {
			main = path
		}
		if is.container == "" {
			is.container = containerOf(path)
		}
	}
	is.unit = unitOf(main)
	return is
}

// unitTypes are the units that have processes (systemd.unit(5)), beside slices, which have units.
var unitTypes = []string{".service", ".scope", ".socket", ".mount", ".swap"}

// unitOf returns the unit of the host's service manager in a path: below it users may have groups of any name.
func unitOf(path string) string {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || strings.HasSuffix(name, ".slice") {
			continue
		}
		for _, suffix := range unitTypes {
			if strings.HasSuffix(name, suffix) {
				return strings.TrimPrefix(name, "_") // which systemd puts before what may be the kernel's
			}
		}
		return ""
	}
	return ""
}

// containerID is the length of the ids of containers that docker, containerd, podman and cri-o give: 32 bytes in hex.
const containerID = 64

// containerOf returns the id of the outermost container in a path: "docker-ID.scope", "cri-containerd-ID.scope",
// "/docker/ID". A "libpod-conmon-ID.scope" is not the container, but what watches over it.
func containerOf(path string) string {
	for name := range strings.SplitSeq(path, "/") {
		name = strings.TrimSuffix(name, ".scope")
		at := len(name) - containerID
		if at < 0 || !isHex(name[at:]) || strings.Contains(name[:at], "conmon") {
			continue
		}
		if at == 0 || name[at-1] == '-' || name[at-1] == ':' {
			return name[at:]
		}
	}
	return ""
}

// isHex reports whether all of a text are lower-case hexadecimal digits.
func isHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; c-'0' >= 10 && c-'a' >= 6 {
			return false
		}
	}
	return true
}
