package auditlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
)

// scene is a log and a position in it that may be missing.
type scene struct {
	t   int64 // ms
	log []string
}

func (s *scene) add(typ string, millis int64, serial uint32, text string) string {
	l := fmt.Sprintf("type=%s msg=audit(%d.%03d:%d): %s\n", typ, millis/1000, millis%1000, serial, text)
	s.log = append(s.log, l)
	return l
}

// run adds events of two records each, a millisecond apart.
func (s *scene) run(first, last uint32) {
	for n := first; n <= last; n++ {
		s.t++
		s.add("SYSCALL", s.t, n, "arch=c000003e syscall=2")
		s.add("CWD", s.t, n, fmt.Sprintf("cwd=\"/%d\"", len(s.log)))
	}
}

// TestWhereALineWouldStand: the kinds of logs that a position is not in. Each
// returns the lines of the log, the position and how many of the lines are not to be
// given again, -1: it has been rotated away.
func TestWhereALineWouldStand(t *testing.T) {
	const t0 = 1_700_000_000_000
	for name, make := range map[string]func() (log []string, pos string, want int){
		"the end never reached the disk": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			return s.log[:150], s.log[199], 150
		},
		"in the middle of an event": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			return s.log[:199], s.log[199], 199
		},
		"then the next boot": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(101, 200)
			pos := s.log[199]
			s.log, s.t = s.log[:120], s.t+30_000
			s.add("DAEMON_START", s.t, 7713, "op=start res=success")
			s.run(1, 20)
			return s.log, pos, 120
		},
		"then the next boot, which has overtaken it": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(101, 200)
			pos := s.log[199]
			s.log, s.t = s.log[:120], s.t+30_000
			s.run(1, 500)
			return s.log, pos, 120
		},
		"two boots later": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(10_000, 10_100)
			pos := s.log[150]
			s.log, s.t = s.log[:100], s.t+30_000
			s.run(1, 50)
			s.t += 30_000
			s.run(1, 50)
			return s.log, pos, 100
		},
		"a boot before with higher serials": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 5000)
			s.t += 30_000
			s.run(1, 100)
			return s.log[:10_000+150], s.log[10_000+199], 10_000 + 150
		},
		"a boot before with higher serials, and nothing of its own": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 500)
			s.t += 30_000
			s.run(1, 100)
			pos := s.log[1000+30]
			s.log, s.t = s.log[:1000], s.t+30_000
			s.run(1, 100)
			return s.log, pos, 1000
		},
		"the next boot without a clock": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(100_001, 100_100)
			pos := s.log[199]
			s.log, s.t = s.log[:150], 0
			s.run(1, 20)
			s.t = t0 + 60_000
			s.run(21, 40)
			return s.log, pos, 150
		},
		"the clock was set back since": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[199]
			s.log, s.t = s.log[:150], s.t-3_600_000
			s.run(101, 200)
			return s.log, pos, 150
		},
		"logging was suspended": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[150]
			s.log = slices.Delete(s.log, 100, 180)
			return s.log, pos, 100
		},
		"one line was never logged": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[101]
			s.log = slices.Delete(s.log, 101, 102)
			return s.log, pos, 101
		},
		"a damaged copy was delivered": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			return s.log, strings.Replace(s.log[100], "syscall=2", "sysc", 1), 101
		},
		"a call that began long ago": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 1000)
			pos := s.add("SYSCALL", t0+10, 1001, "arch=c000003e syscall=2")
			s.log = s.log[:2000]
			s.run(1002, 1010)
			return s.log, pos, 2000
		},
		"calls that began long ago follow": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 1000)
			pos := s.log[1999]
			s.log = s.log[:1990]
			s.add("SYSCALL", t0+10, 1001, "arch=c000003e syscall=2")
			s.add("CWD", t0+10, 1001, "cwd=\"/\"")
			s.run(1002, 1010)
			return s.log, pos, 1990
		},
		"a record of auditd's own, at its end": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.add("DAEMON_END", s.t+1, 7712, "op=terminate res=success")
			s.log, s.t = s.log[:200], s.t+5000
			s.add("DAEMON_START", s.t, 7713, "op=start res=success")
			s.run(101, 200)
			return s.log, pos, 200
		},
		"records of auditd's own alone": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[10]
			s.log = nil
			s.add("DAEMON_START", t0-5000, 7711, "op=start res=success")
			s.add("DAEMON_END", t0+5000, 7712, "op=terminate res=success")
			return s.log, pos, 1
		},
		"rotated away": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			return s.log[100:], s.log[50], -1
		},
		"rotated away with the boot": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[50]
			s.log, s.t = nil, s.t+30_000
			s.run(1, 100)
			return s.log, pos, -1
		},
		"removed and begun again": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			pos := s.log[199]
			s.log = nil
			s.add("DAEMON_START", s.t+5000, 7713, "op=start res=success")
			s.t += 5000
			s.run(101, 200)
			return s.log, pos, -1
		},
		"emptied": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1, 100)
			return nil, s.log[199], 0
		},
		"serials over the end of 32 bits": func() ([]string, string, int) {
			s := scene{t: t0}
			s.run(1<<32-50, 1<<32-2)
			s.t++
			s.add("SYSCALL", s.t, 1<<32-1, "arch=c000003e syscall=2")
			s.run(1, 50)
			pos := s.log[120]
			return slices.Delete(s.log, 110, 130), pos, 110
		},
		"several nodes": func() ([]string, string, int) {
			a, b := scene{t: t0}, scene{t: t0}
			a.run(1, 200)
			b.run(900_001, 900_200)
			var log []string
			for i := range a.log {
				log = append(log, "node=a "+a.log[i], "node=b "+b.log[i])
			}
			return log[:600], "node=a " + a.log[350], 600
		},
	} {
		log, pos, want := make()
		id := idOf(pos)
		for _, files := range []int{1, 3} {
			dir := scratch(t)
			a := startFake(t, dir, 9)
			for i, line := range log {
				a.write(line)
				if files > 1 && i%(len(log)/files+1) == len(log)/files {
					a.rotate(nil)
				}
			}
			a.must(a.f.Close())
			l := New(a.path)
			for _, seek := range []func(record.ID) (Position, error){l.SeekAfter, l.SeekAt} {
				p, err := seek(id)
				if wantErr := map[bool]error{true: ErrGone, false: ErrAbsent}[want < 0]; !errors.Is(err, wantErr) {
					t.Errorf("%s, %d files: %v, want %v", name, files, err, wantErr)
				}
				if err := l.Go(p); err != nil {
					t.Fatal(err)
				}
				got := strings.SplitAfter(poll(t, l), "\n")
				got = got[:len(got)-1]
				if rest := log[max(0, want):]; !slices.Equal(got, rest) {
					t.Errorf("%s, %d files: continues with %d lines, want the last %d of %d", name, files, len(got), len(rest), len(log))
				}
			}
			l.Close()
		}
	}
}

// TestALogCutOffAnywhereRepeatsNothing cuts a log of some boots off at any place: after it
// nothing is repeated, and nothing of what was written since is left out.
func TestALogCutOffAnywhereRepeatsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		s := scene{t: 1_700_000_000_000}
		for range rapid.IntRange(1, 4).Draw(rt, "boots") {
			s.t += 30_000
			first := uint32(rng.Uint32N(3)) * 5000
			s.run(first+1, first+20+rng.Uint32N(1000))
		}
		// Both lie in the last boot: what is lost is what was not on disk yet.
		end := len(s.log) - rng.IntN(20)
		pos := s.log[min(len(s.log)-1, end+rng.IntN(20))]
		log := s.log[:min(end, len(s.log)-1)]
		if slices.Contains(log, pos) {
			return
		}
		kept := len(log)
		next := scene{t: s.t + 30_000}
		next.run(1, 1+rng.Uint32N(100))
		path := scratch(t) + "/audit.log"
		if err := os.WriteFile(path, []byte(strings.Join(log, "")+strings.Join(next.log, "")), 0o600); err != nil {
			rt.Fatalf("%v", err)
		}
		l := New(path)
		defer l.Close()
		p, err := l.SeekAfter(idOf(pos))
		if !errors.Is(err, ErrAbsent) {
			rt.Fatalf("%v", err)
		}
		if err := l.Go(p); err != nil {
			rt.Fatalf("%v", err)
		}
		if got := poll(rt, l); got != strings.Join(next.log, "") {
			rt.Fatalf("%d lines kept: continues with %d lines, want %d", kept, strings.Count(got, "\n"), len(next.log))
		}
	})
}
