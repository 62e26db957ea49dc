package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLogFileComesBack: the file, or its directory, is not there at first, is removed, is
// renamed, is in the way; what is said meanwhile goes elsewhere and is not lost.
func TestLogFileComesBack(t *testing.T) {
	dir := t.TempDir()
	above := filepath.Join(dir, "above")
	path := filepath.Join(above, "log")
	var elsewhere []string
	l := &logFile{path: path, instead: func(line []byte) { elsewhere = append(elsewhere, string(line)) }}
	defer l.close()
	say := func(line string) {
		t.Helper()
		l.next = time.Time{} // the time to look has come
		if n, err := l.Write([]byte(line + "\n")); n != len(line)+1 || err != nil {
			t.Fatalf("%s: %d, %v", line, n, err)
		}
	}
	holds := func(want string) {
		t.Helper()
		if data, err := os.ReadFile(path); string(data) != want || l.Fault() != "" {
			t.Errorf("got %q, %v, fault %q, want %q", data, err, l.Fault(), want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	say("a")
	if len(elsewhere) != 1 || elsewhere[0] != "a\n" || !strings.Contains(l.Fault(), "no such file") {
		t.Errorf("without a directory: %q, fault %q", elsewhere, l.Fault())
	}
	do(os.Mkdir(above, 0o700))
	say("b")
	holds("b\n")
	do(os.Rename(path, path+".1"))
	say("c")
	holds("c\n")
	do(os.RemoveAll(above))
	do(os.Mkdir(above, 0o700))
	say("d")
	holds("d\n")
	do(os.RemoveAll(above))
	do(os.WriteFile(above, nil, 0o600))
	say("e")
	if l.Fault() == "" {
		t.Error("nothing is said of a directory that is none")
	}
	do(os.Remove(above))
	do(os.Mkdir(above, 0o700))
	say("f")
	holds("f\n")
	if strings.Join(elsewhere, "") != "a\ne\n" {
		t.Errorf("elsewhere: %q", elsewhere)
	}
}
