package broker

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFind finds a socket by every way that leads to it, and connects by what it has found though the path leads elsewhere meanwhile.
func TestFind(t *testing.T) {
	dir, err := os.MkdirTemp("", "place") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "real", "socket")
	if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, to := range map[string]string{
		"relative": "real/socket", "absolute": socket, "directory": dir + "/real/", "chain": "relative", "loop": "loop", "nowhere": "missing",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{
		"real/socket": nil, "/real//./socket": nil, "relative": nil, "absolute": nil, "directory/socket": nil, "directory/../real/socket": nil,
		"chain": nil, "loop": unix.ELOOP, "nowhere": unix.ENOENT, "missing": unix.ENOENT, "real/socket/x": unix.ENOTDIR,
	} {
		place, err := Find(dir + "/" + path)
		if !errors.Is(err, want) || (want == nil && err != nil) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if err == nil {
			conn, err := net.Dial("unix", place.Path())
			if err != nil {
				t.Errorf("%s: %v", path, err)
			} else {
				conn.Close()
			}
			place.Close()
		}
	}
	if _, err := Find(""); err == nil {
		t.Error("nothing is found")
	}
	place, err := Find(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Close()
	if err := os.Rename(socket, socket+".away"); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", place.Path())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
