package process

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// executable makes a file, and returns what the kernel writes of it.
func executable(t *testing.T, text string) (path string, is file) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, fileAt(t, path)
}

// needChanges skips a test whose files are on a file system of which nothing is hashed.
func needChanges(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if !showsChanges(fd) {
		t.Skip("no program is hashed on the file system of", path)
	}
}

func fileAt(t *testing.T, path string) file {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return file{fmt.Sprintf("%02x:%02x", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))), fmt.Sprint(st.Ino)}
}

func requestFor(path string, is file, millis int64) *hashRequest {
	text := appendProgram(nil, []byte(path), []byte("x"))
	return &hashRequest{&Process{text: string(text), exeLen: uint16(len(path)), millis: millis, pid: 42, from: fromExec}, is, 1 << 20}
}

// TestHashOfAProgram: it is that of the file which was executed, or there is none.
func TestHashOfAProgram(t *testing.T) {
	content := strings.Repeat("program", 100_000)
	path, is := executable(t, content)
	needChanges(t, path)
	later := time.Now().Add(time.Hour).UnixMilli()
	link := filepath.Join(filepath.Dir(path), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(filepath.Dir(path), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	small := *requestFor(path, is, later)
	small.most = 1000
	for name, tt := range map[string]struct {
		r    *hashRequest
		want bool
	}{
		"as executed":              {requestFor(path, is, later), true},
		"changed since":            {requestFor(path, is, 1000), false},
		"another inode":            {requestFor(path, file{is.dev, "1" + is.inode}, later), false},
		"another device":           {requestFor(path, file{"fff:ffff", is.inode}, later), false},
		"too large":                {&small, false},
		"not there":                {requestFor(path+"x", is, later), false},
		"a link":                   {requestFor(link, is, later), false},
		"a pipe, which would hang": {requestFor(pipe, fileAt(t, pipe), later), false},
		"a directory":              {requestFor(filepath.Dir(path), fileAt(t, filepath.Dir(path)), later), false},
	} {
		known := make(map[program]*Hash)
		sum := hashProgram(context.Background(), tt.r, known, make([]byte, 4096))
		if (sum != nil) != tt.want || (sum != nil && *sum != sha256.Sum256([]byte(content))) {
			t.Errorf("%s: %x", name, sum)
		}
		if sum != nil && hashProgram(context.Background(), tt.r, known, nil) != sum {
			t.Errorf("%s: read again", name)
		}
	}
}

// TestIsDevice: file systems without a disk, which users can mount, are not all one.
func TestIsDevice(t *testing.T) {
	for _, tt := range []struct {
		text         string
		major, minor uint32
		want         bool
	}{{"fe:00", 0xfe, 0, true}, {"103:10001", 0x103, 0x10001, true}, {"00:2a", 0, 0x2a, true}, {"00:2a", 0, 0x2b, false}, {"00:00", 0, 1, false}, {"", 0, 0, false}} {
		if got := isDevice(tt.text, unix.Mkdev(tt.major, tt.minor)); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestIsBefore: what was changed in the millisecond of an exec may have been changed after it.
func TestIsBefore(t *testing.T) {
	for _, tt := range []struct {
		sec, nsec, millis int64
		want              bool
	}{
		{10, 500_999_999, 10_500, false}, {10, 500_000_000, 10_501, true}, {10, 500_000_000, 10_499, false},
		{10, 0, 10_000, false}, {10, 0, 11_000, false}, {10, 0, 11_001, true}, // written at 10.999, for all that is known
	} {
		if got := isBefore(unix.NsecToTimespec(tt.sec*1e9+tt.nsec), tt.millis); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestHashOfAProgramInMemory: one on tmpfs can be changed after it has ended, so that nothing shows it.
func TestHashOfAProgramInMemory(t *testing.T) {
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Skip("/dev/shm is no tmpfs")
	}
	f, err := os.CreateTemp("/dev/shm", "program")
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString("bad one"); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	copy(memory, "good")
	r := requestFor(f.Name(), fileAt(t, f.Name()), time.Now().Add(time.Hour).UnixMilli())
	if sum := hashProgram(context.Background(), r, make(map[program]*Hash), make([]byte, 4096)); sum != nil {
		t.Errorf("hash %x", *sum)
	}
}

// TestHashOfALeasedProgram: nobody waits for whoever has a lease on a file. An open that did would go on after
// /proc/sys/fs/lease-break-time, and there would be a hash.
func TestHashOfALeasedProgram(t *testing.T) {
	t.Parallel()
	path, is := executable(t, "program")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here:", err)
	}
	r := requestFor(path, is, time.Now().Add(time.Hour).UnixMilli())
	if sum := hashProgram(context.Background(), r, make(map[program]*Hash), make([]byte, 4096)); sum != nil {
		t.Errorf("waited for a lease: %x", *sum)
	}
}

// TestHashes: the way from an exec to its process, to what that forks, and not to what it executes.
func TestHashes(t *testing.T) {
	path, is := executable(t, "#!")
	needChanges(t, path)
	x := NewTable(Options{Hashed: 1 << 20})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { x.Hash(ctx); close(ended) }()

	now := time.Now().Add(time.Hour).UnixMilli()
	later := func(n uint32) Moment { return Moment{now + int64(n), n} }
	var e event
	e.add(record.TypeSyscall, later(10), "", strings.Replace(syscall(sysExec, 0, 1, 1, 100, path), "items=0", "items=2", 1))
	e.add(record.TypeExecve, later(10), "", execve("program"))
	e.add(record.TypePath, later(10), "", fmt.Sprintf("item=0 name=%s inode=%s dev=%s", quoted(path), is.inode, is.dev))
	e.add(record.TypePath, later(10), "", `item=1 name="/lib/ld.so" inode=1 dev=00:00`)
	x.Note(&e.Batch)
	give(x, later(11), syscall(sysClone, 101, 0x11, 1, 100, path))
	give(x, later(12), syscall(sysOpen, 3, 0, 100, 101, path))
	exec(x, later(13), 100, 102, "/bin/a", "a")

	want := Hash(sha256.Sum256([]byte("#!")))
	hashAt := func(ppid, pid int) *Hash {
		c := ask(x, later(20), ppid, pid)
		return c.Hash()
	}
	for hashAt(1, 100) == nil {
		time.Sleep(time.Millisecond)
	}
	if sum := hashAt(100, 101); *hashAt(1, 100) != want || sum == nil || *sum != want {
		t.Errorf("%x, of its child %x", hashAt(1, 100), sum)
	}
	if sum := hashAt(100, 102); sum != nil {
		t.Errorf("of another program %x", sum)
	}
	if x.SetHashed(0); hashAt(1, 100) != nil {
		t.Error("switched off, and still there")
	}
	checkTable(t, x)
	cancel()
	<-ended
}

// TestHashesAreBounded: what cannot be hashed soon has no hash, and nobody waits.
func TestHashesAreBounded(t *testing.T) {
	x := NewTable(Options{Hashed: 1})
	for range 3 * maxAsked {
		x.askHash(&Process{}, file{"fe:00", "1"})
	}
	if len(x.asked) != maxAsked {
		t.Errorf("%d are asked for", len(x.asked))
	}
}
