package trusted

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
)

// TestServeIsLedNowhere: who can change where a path that is configured leads does not get a worker files of root's, only his own.
func TestServeIsLedNowhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const other = 12345
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(in("its"), 0o755), os.WriteFile(in("secret"), nil, 0o600), os.WriteFile(in("its/own"), nil, 0o600),
		os.WriteFile(in("its/roots"), nil, 0o600), os.Symlink(in("secret"), in("link")), os.Symlink(in("secret"), in("its/link")),
		os.Symlink(in("its/own"), in("its/second")), os.Chown(in("its/own"), other, other), os.Lchown(in("its/link"), other, other),
		os.Lchown(in("its/second"), other, other), os.Chown(in("its"), other, other),
		os.Mkdir(in("group"), 0o775), os.Chmod(in("group"), 0o775), os.WriteFile(in("group/file"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, may := range map[string]bool{
		"secret": true, "link": true, "its/own": true, "its/second": true, "its/link": false, "its/roots": false, "group/file": false,
	} {
		a, err := Serve(broker.NewCall(Item, OpOpen, fmt.Sprintf("%q", in(name))), func(path string) bool { return path == in(name) })
		for _, fd := range a.FDs {
			unix.Close(fd)
		}
		if (err == nil) != may || (!may && !strings.Contains(err.Error(), "not read with root's rights")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
