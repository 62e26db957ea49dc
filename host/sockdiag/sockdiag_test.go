package sockdiag

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func inodeOf(t *testing.T, fd int) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func TestPeer(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if peer, err := Peer(inodeOf(t, fds[0])); err != nil || peer != inodeOf(t, fds[1]) {
		t.Errorf("peer %d, %v, want %d", peer, err, inodeOf(t, fds[1]))
	}
	if peer, err := Peer(inodeOf(t, socket(t))); err == nil {
		t.Errorf("a socket by itself has peer %d", peer)
	}
	if peer, err := Peer(0); err == nil {
		t.Errorf("no socket has peer %d", peer)
	}
}

func TestBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := Bound(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	if bound, err := Bound(path); err != nil || !bound {
		t.Errorf("bound %v, %v while a socket is", bound, err)
	}
	sockets, err := BoundTo(path)
	if err != nil || len(sockets) != 1 || sockets[0] != inodeOf(t, fd) {
		t.Errorf("bound to it are %d, %v, want %d", sockets, err, inodeOf(t, fd))
	}
	if got := Holders(sockets); len(got) != 1 || got[0].PID != os.Getpid() || got[0].Comm == "" {
		t.Errorf("held by %+v, want this process", got)
	}
	unix.Close(fd)
	if bound, err := Bound(path); err != nil || bound {
		t.Errorf("bound %v, %v though no process has it", bound, err)
	}
}

// TestListening: a socket is there from listen to close, under the name it was bound to, and an
// abstract one is not.
func TestListening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a\nb")
	fd := socket(t)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	hidden := socket(t)
	if err := errors.Join(unix.Bind(hidden, &unix.SockaddrUnix{Name: "@" + path}), unix.Listen(hidden, 1)); err != nil {
		t.Fatal(err)
	}
	inode := inodeOf(t, fd)
	if names, err := Listening(); err != nil || names[inode] != "" {
		t.Errorf("before listen: %q, %v", names[inode], err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	names, err := Listening()
	if err != nil || names[inode] != path || names[inodeOf(t, hidden)] != "" {
		t.Errorf("%q, abstract %q, %v, want %q", names[inode], names[inodeOf(t, hidden)], err, path)
	}
}

// FuzzParse: whatever the answer holds, it is read to its end and no further.
func FuzzParse(f *testing.F) {
	message := func(typ uint16, body ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
		b = binary.NativeEndian.AppendUint16(b, typ)
		return append(append(b, make([]byte, 10)...), body...)
	}
	f.Add(message(unix.NLMSG_DONE))
	f.Add(message(unix.NLMSG_ERROR, 1, 0, 0, 0))
	f.Add(message(unix.NLMSG_ERROR))
	f.Add(message(byFamily, append(make([]byte, messageLen), 8, 0, attrPeer, 0, 1, 2, 3, 4, 5, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		parse(b, func(_ uint32, _ uint16, value []byte) bool { return len(value) > 100 })
	})
}
