package recovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// modelEvent is an event of the model's kernel.
type modelEvent struct {
	serial uint32
	millis int64
	lines  []string
	call   bool
	gone   bool // neither the log nor the stream has it
	lost   bool // the stream does not have it
}

func (e *modelEvent) head(typ string) string {
	return fmt.Sprintf("type=%s msg=audit(%d.%03d:%d): ", typ, e.millis/1000, e.millis%1000, e.serial)
}

// model is a kernel that makes events, an auditd that logs and sends them, and
// a forger of lines in the log.
type model struct {
	pause  time.Duration // at most, between two steps
	rnd    *rand.Rand
	events []*modelEvent
	log    []string // with forged lines
	real   []string // without
	sent   []string
	gone   map[uint32]bool
	far    bool           // forged lines have serials far from those beside them
	times  map[string]int // how often the stream has a record unharmed
}

const modelFirst = 70_000

func newModel(seed uint64, events int) *model {
	m := &model{rnd: rand.New(rand.NewPCG(seed, 31)), gone: map[uint32]bool{}, times: map[string]int{}}
	for k := range events {
		e := &modelEvent{serial: modelFirst + uint32(k), millis: 1_800_000_000_000 + int64(k)*7 + int64(m.rnd.IntN(5))}
		m.fill(e)
		if k > 20 && k < events-20 {
			switch m.rnd.IntN(40) {
			case 0:
				e.gone, m.gone[e.serial] = true, true
			case 1, 2:
				e.lost = true
			}
		}
		m.events = append(m.events, e)
	}
	return m
}

func (m *model) fill(e *modelEvent) {
	if m.rnd.IntN(3) == 0 {
		e.lines = []string{e.head("USER_AUTH") + "pid=1 uid=0 auid=0 ses=1 msg='op=PAM:authentication acct=\"root\" res=success'"}
		return
	}
	e.call = true
	items := m.rnd.IntN(3)
	e.lines = append(e.lines, e.head("SYSCALL")+fmt.Sprintf("arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd3c5b6f5e a2=0 a3=0 items=%d ppid=1 pid=%d "+
		"auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=1 comm=\"cat\" exe=\"/usr/bin/cat\" key=(null)", items, e.serial))
	for k := range items {
		if k == 0 {
			e.lines = append(e.lines, e.head("CWD")+"cwd=\"/\"")
		}
		e.lines = append(e.lines, e.head("PATH")+fmt.Sprintf("item=%d name=\"/etc/%d\" inode=%d dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL "+
			"cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0", k, e.serial, k))
	}
	e.lines = append(e.lines, e.head("PROCTITLE")+"proctitle=\"cat\"")
}

// order returns the records as auditd gets them: those of neighbours may be mixed.
func (m *model) order() (list []string, of []*modelEvent) {
	type record struct {
		text string
		e    *modelEvent
		at   int
	}
	var all []record
	for k, e := range m.events {
		if e.gone {
			continue
		}
		at := k*10 + m.rnd.IntN(25)
		for _, l := range e.lines {
			at += m.rnd.IntN(3)
			all = append(all, record{l, e, at})
		}
		if e.call {
			all = append(all, record{e.head("EOE"), e, at})
		}
	}
	slices.SortStableFunc(all, func(a, b record) int { return a.at - b.at })
	for _, r := range all {
		list, of = append(list, r.text), append(of, r.e)
	}
	return list, of
}

// write makes log and stream. visible: nothing is lost that does not show in a stream that
// leads.
func (m *model) write(visible bool) {
	list, of := m.order()
	var repeats []string
	for k, text := range list {
		eoe := strings.HasPrefix(text, "type=EOE")
		if !eoe {
			m.real, m.log = append(m.real, text), append(m.log, text)
			m.far = m.far || k > len(list)-100 // the stream may end there
			if m.rnd.IntN(8) == 0 {
				m.log = append(m.log, m.forged(of[k])...)
			}
		}
		harmless := k < 100 || k > len(list)-60
		shown := strings.HasPrefix(text, "type=SYSCALL") || strings.HasPrefix(text, "type=PATH")
		switch {
		case of[k].lost:
		case harmless:
			m.send(text)
		case !eoe && m.rnd.IntN(60) == 0 && (shown || (!visible && of[k].call)): // this one record is lost
		case !eoe && m.rnd.IntN(60) == 0:
			m.sent = append(m.sent, text[:len(text)-16]) // as auditd 4.2.1 does
		case m.rnd.IntN(100) == 0:
			repeats = append(repeats, text)
			m.send(text)
		case len(repeats) > 0 && m.rnd.IntN(20) == 0:
			m.send(text)
			m.send(repeats[0])
			repeats = repeats[1:]
		default:
			m.send(text)
		}
		if k < len(list)-100 && !m.far && strings.HasPrefix(text, "type=SYSCALL") && m.rnd.IntN(8) == 0 {
			m.inPath(of[k])
		}
	}
}

func (m *model) send(text string) {
	m.sent = append(m.sent, text)
	m.times[text]++
}

// forged makes lines that follow a record of e in the log.
func (m *model) forged(e *modelEvent) []string {
	types := []string{"USER_LOGIN", "SYSCALL", "EOE", "DAEMON_ERR", "DAEMON_START", "CONFIG_CHANGE", "PATH", "UNKNOWN[1420]"}
	x := &modelEvent{serial: e.serial, millis: e.millis + 1 + int64(m.rnd.IntN(3))}
	typ := types[m.rnd.IntN(len(types))]
	kind := m.rnd.IntN(9)
	if m.far {
		typ, kind = []string{"USER_LOGIN", "SYSCALL", "EOE", "PATH", "DAEMON_ERR"}[m.rnd.IntN(5)], []int{3, 4, 7, 8}[m.rnd.IntN(4)]
	}
	switch kind {
	case 0: // used
		x.serial -= uint32(m.rnd.IntN(400))
		if x.serial < modelFirst || m.gone[x.serial] || m.events[x.serial-modelFirst].lost {
			return nil
		}
	case 1: // missing in the stream
		for _, o := range m.events {
			if o.lost && m.rnd.IntN(3) == 0 {
				x.serial = o.serial
			}
		}
		if apart(x.serial, e.serial) < 400 { // nearer it stands as if it were the real one
			return nil
		}
	case 2: // soon to come
		x.serial += 1 + uint32(m.rnd.IntN(12))
		if m.gone[x.serial] || x.serial >= modelFirst+uint32(len(m.events)) || m.events[x.serial-modelFirst].lost {
			return nil
		}
	case 3:
		x.serial += 1000 + uint32(m.rnd.IntN(400_000))
	case 4:
		x.serial = m.rnd.Uint32()
		if apart(x.serial, e.serial) < 5000 {
			return nil
		}
	case 5: // its own
		if e.lost {
			return nil
		}
	case 6: // a record that its event has
		if !e.call || m.times[e.lines[0]] == 0 {
			return nil
		}
		x.millis, typ = e.millis, "SYSCALL"
	case 7:
		return []string{"type=USER_LOGIN msg=FORGED res=success"}
	case 8:
		typ, x.serial = "DAEMON_ERR", m.rnd.Uint32()
	}
	if k := x.serial - modelFirst; k < uint32(len(m.events)) && m.events[k].millis == x.millis && (typ != "SYSCALL" || m.times[m.events[k].lines[0]] == 0 || !m.events[k].call) {
		return nil // an identity that was guessed: a record that the stream may have lost
	}
	return []string{x.head(typ) + "FORGED res=success"}
}

// inPath makes a record of a socket's address with newlines, which was not put
// together in the log. The lines may have any identity.
func (m *model) inPath(e *modelEvent) {
	if e.lost {
		return
	}
	head := e.head("SOCKADDR") + fmt.Sprintf("saddr=01004000%08X\x1dSADDR={ saddr_fam=local path=@%d", len(m.log), len(m.log))
	whole := head + " }"
	m.log = append(m.log, head)
	for k := range 1 + m.rnd.IntN(3) {
		x := m.events[m.rnd.IntN(len(m.events))]
		m.log = append(m.log, x.head([]string{"USER_LOGIN", "SYSCALL", "PATH", "DAEMON_CONFIG"}[m.rnd.IntN(4)])+fmt.Sprint("FORGED ", k))
	}
	if m.rnd.IntN(2) == 0 {
		m.log[len(m.log)-1] += " }"
	} else {
		m.log = append(m.log, " }")
	}
	m.send(whole)
	m.real = append(m.real, whole)
}

// check compares what consumers were given, and had reported, with what the kernel made. Of
// what the log has from real[from] on nothing may be missing.
func (m *model) check(t *testing.T, what string, out *collector, real []string) {
	t.Helper()
	got, _ := out.lines()
	count := map[string]int{}
	for _, l := range got {
		if strings.Contains(l, "FORGED") {
			t.Errorf("%s: forged: %q", what, l)
		}
		count[l]++
	}
	missing, more := 0, 0
	for _, l := range real {
		if count[l] == 0 {
			if missing++; missing < 4 {
				t.Errorf("%s: missing: %.150q", what, l)
			}
		}
		if count[l] > max(1, m.times[l]) {
			if more++; more < 4 {
				t.Errorf("%s: %d times: %.150q", what, count[l], l)
			}
		}
	}
	said := map[uint32]bool{}
	for _, x := range out.lost {
		for s := x.First; ; s++ {
			if said[s] {
				t.Errorf("%s: %d said to be lost twice", what, s)
			}
			said[s] = true
			if !m.gone[s] {
				t.Errorf("%s: %d is not lost, but said to be: %+v", what, s, x)
			}
			if s == x.Last || len(said) > 10_000 {
				break
			}
		}
	}
	for s := range m.gone {
		if !said[s] {
			t.Errorf("%s: nothing is said of %d, which is lost", what, s)
		}
	}
}
