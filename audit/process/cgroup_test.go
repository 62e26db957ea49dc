package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestParsePlace(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct{ text, unit, container string }{
		{"0::/system.slice/nginx.service\n", "nginx.service", ""},
		{"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service", ""},
		{"0::/init.scope\n", "init.scope", ""},
		{"0::/user.slice/user-1000.slice/session-5.scope\n", "session-5.scope", ""},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service\n", "user@1000.service", ""},
		{"0::/system.slice/_cpu.service (deleted)\n", "cpu.service", ""},
		{"0::/\n", "", ""},
		{"", "", ""},
		{"0::/system.slice/docker-" + id + ".scope\n", "docker-" + id + ".scope", id},
		{"0::/system.slice/docker-" + id + ".scope/system.slice/cron.service\n", "docker-" + id + ".scope", id},
		{"0::/docker/" + id + "\n", "", id},
		{"0::/docker/" + id + "/docker/" + strings.Repeat("f", 64) + "\n", "", id},
		{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" + id + ".scope\n", "cri-containerd-" + id + ".scope", id},
		{"0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" + id + "\n", "containerd.service", id},
		{"0::/machine.slice/libpod-conmon-" + id + ".scope\n", "libpod-conmon-" + id + ".scope", ""},
		{"0::/x/" + strings.ToUpper(id) + "\n0::/x/0" + id + "\n", "", ""},
		{"12:cpu,cpuacct:/docker/" + id + "\n1:name=systemd:/system.slice/docker.service\n0::/\n", "docker.service", id},
		{"1:cpu:/a\n0::/system.slice/a:b.service\n", "a:b.service", ""},
		{"no line\n:\n::\n0::/system.slice/cut.serv", "", ""},
		{"0::/system.slice/cut.service", "", ""},
		{"0::/system.slice/docker-" + id + ".scope/deep/cut", "docker-" + id + ".scope", id},
		{"0::/docker/" + id, "", ""},
	} {
		if got := parsePlace([]byte(tt.text)); got.unit != tt.unit || got.container != tt.container {
			t.Errorf("%q: %+v, want %q, %q", tt.text, got, tt.unit, tt.container)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add([]byte("12:cpu:/docker/x\n1:name=systemd:/system.slice/docker.service\n0::/" + strings.Repeat("a", 64) + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := parsePlace(text)
		if (got.container != "" && (len(got.container) != containerID || !isHex(got.container))) || strings.ContainsAny(got.unit, "/\n") {
			t.Errorf("%+v", got)
		}
	})
}

// TestReadPlace: a process that was started after the event is another one.
func TestReadPlace(t *testing.T) {
	now := time.Now().UnixMilli()
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "42"), 0o700)
	os.WriteFile(filepath.Join(dir, "42/cgroup"), []byte("0::/system.slice/x.service\n"), 0o600)
	for _, tt := range []struct {
		started int64 // ms before now
		event   int64
		ok      bool
	}{{90_000, 0, true}, {-1000, 0, false}, {0, 0, true}, {90_000, 60_000, false}, {90_000, -1000, false}} {
		ticks := (now - tt.started - bootMillis()) / 10
		os.WriteFile(filepath.Join(dir, "42/stat"), fmt.Appendf(nil, "42 (x) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1\n", ticks), 0o600)
		if is, ok := readPlace(dir, 42, now-tt.event, now); ok != tt.ok || (ok && is.unit != "x.service") {
			t.Errorf("%+v: %+v, %v", tt, is, ok)
		}
	}
	// However deep its group is, a process does not leave its unit.
	for _, before := range []string{"", strings.Repeat("9:cpu,cpuacct:/user.slice\n", 30)} {
		deep := before + "1:name=systemd:/user.slice/user@1000.service" + strings.Repeat("/"+strings.Repeat("x", 200), 20)
		os.WriteFile(filepath.Join(dir, "42/cgroup"), []byte(deep+"\n0::/user.slice\n"), 0o600)
		os.WriteFile(filepath.Join(dir, "42/stat"), fmt.Appendf(nil, "42 (x) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1\n", (now-bootMillis())/10), 0o600)
		if is, ok := readPlace(dir, 42, now, now); !ok || is.unit != "user@1000.service" {
			t.Errorf("%d bytes: %+v, %v", len(deep), is, ok)
		}
	}
	if _, ok := readPlace(dir, 43, now, now); ok {
		t.Error("a process that is not there")
	}
	if _, ok := readPlace("/proc", os.Getpid(), now, now); !ok {
		t.Error("this process is not found")
	}
}

// TestPlaces: a process is where it is found, else where its parent is, unless that moves its children.
func TestPlaces(t *testing.T) {
	found := map[int]place{1: {unit: "init.scope"}, 100: {unit: "ssh.service"}, 101: {unit: "session-5.scope"}, 200: {unit: "containerd.service"}}
	x := NewTable(Options{})
	now := time.UnixMilli(start)
	asked := 0
	x.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	x.SetPlaces(func(pid int, _ int64) (unit, container string, ok bool) {
		asked++
		is, ok := found[pid]
		return is.unit, "", ok
	})
	unitAt := func(ppid, pid int, serial uint32) string {
		c := ask(x, at(int64(serial), serial), ppid, pid)
		return c.Unit()
	}
	exec(x, at(0, 10), 0, 1, "/sbin/init", "init")
	exec(x, at(1, 11), 1, 99, "/bin/oneshot", "x")
	exec(x, at(2, 12), 1, 200, "/bin/containerd", "x")
	exec(x, at(3, 13), 200, 201, "/bin/runc", "x")
	give(x, at(4, 14), syscall(sysClone, 202, 0x11, 200, 201, "/bin/runc"))
	give(x, at(5, 15), syscall(sysOpen, 3, 0, 201, 202, "/bin/runc"))
	exec(x, at(6, 16), 1, 100, "/usr/sbin/sshd", "x")
	exec(x, at(7, 17), 100, 102, "/bin/early", "x")
	exec(x, at(8, 18), 100, 101, "/bin/bash", "x")
	exec(x, at(9, 19), 100, 103, "/bin/late", "x")
	exec(x, at(10, 20), 101, 104, "/bin/ls", "x")
	for _, tt := range []struct {
		ppid, pid int
		want      string
	}{
		{0, 1, "init.scope"}, {1, 99, ""}, {200, 201, "containerd.service"}, {201, 202, "containerd.service"}, {1, 100, "ssh.service"},
		{100, 102, "ssh.service"}, {100, 101, "session-5.scope"}, {100, 103, ""}, {101, 104, "session-5.scope"},
	} {
		if got := unitAt(tt.ppid, tt.pid, 30); got != tt.want {
			t.Errorf("process %d: %q, want %q", tt.pid, got, tt.want)
		}
	}

	// No more are looked up than there is time for.
	now, asked = now.Add(time.Second), 0
	for n := range 100 {
		exec(x, at(2000, uint32(21+n)), 101, 1000+n, "/bin/ls", "x")
	}
	if asked != int(lookTime/time.Millisecond) {
		t.Errorf("%d look-ups of a millisecond each", asked)
	}
	if got := unitAt(101, 104, 200); got == "" {
		t.Error("forgotten")
	}
	if x.SetPlaces(nil); unitAt(101, 104, 200) != "" {
		t.Error("switched off, and still there")
	}
	checkTable(t, x)
}

// TestPlacesOfThoseThatRun: where the table knows processes by their numbers, it finds this one.
func TestPlacesOfThoseThatRun(t *testing.T) {
	for _, find := range []Finder{nil, FindInProc} {
		x := NewTable(Options{Live: true, Places: find})
		if !x.follows && x.find != nil {
			t.Error("asks for processes whose numbers are other ones")
		}
		for _, p := range x.started {
			if p.PID() == os.Getpid() && (p.place != nil) != (find != nil) {
				t.Errorf("place %+v", p.place)
			}
		}
	}
}

// TestPlacesAreBounded: as many as there are do not fill the memory.
func TestPlacesAreBounded(t *testing.T) {
	x := NewTable(Options{})
	for n := range 3 * maxPlaces {
		x.keepPlace(place{unit: fmt.Sprint(n)})
	}
	if a, b := x.keepPlace(place{unit: "a"}), x.keepPlace(place{unit: "a"}); len(x.places) > maxPlaces || a != b {
		t.Errorf("%d places", len(x.places))
	}
}

// TestPlacesKeepNoLines: a user may have groups far below each other, whose names are ids of containers.
func TestPlacesKeepNoLines(t *testing.T) {
	x := NewTable(Options{})
	deep := "0::/user.slice/user@1000.service" + strings.Repeat("/"+strings.Repeat("x", 200), 15)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	was := heap()
	for n := range maxPlaces {
		x.keepPlace(parsePlace(fmt.Appendf(nil, "%s/%064x\n", deep, n)))
	}
	if got := heap() - was; len(x.places) != maxPlaces || got > 1<<20 {
		t.Errorf("%d places take %d bytes", len(x.places), got)
	}
	runtime.KeepAlive(x)
}
