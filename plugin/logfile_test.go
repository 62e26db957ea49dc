package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// TestLogFileComesBack: the file, or its directory, is not there at first, is removed, is
// renamed, is in the way; what is said meanwhile is refused, so that it goes elsewhere.
func TestLogFileComesBack(t *testing.T) {
	dir := t.TempDir()
	above := filepath.Join(dir, "above")
	path := filepath.Join(above, "log")
	var elsewhere []string
	l := &logFile{path: path}
	defer l.close()
	say := func(line string) {
		t.Helper()
		l.next = time.Time{} // the time to look has come
		if err := l.write([]byte(line + "\n")); err != nil {
			elsewhere = append(elsewhere, line+"\n")
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

// TestLogFileIsNoOther: what is no file of the log's own is neither written to nor waited
// for.
func TestLogFileIsNoOther(t *testing.T) {
	for name, make := range map[string]func(path, victim string) error{
		"hard link":     func(path, victim string) error { return os.Link(victim, path) },
		"symbolic link": func(path, victim string) error { return os.Symlink(victim, path) },
		"FIFO":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"socket":        func(path, _ string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		"directory":     func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		path, victim := filepath.Join(dir, "log"), filepath.Join(dir, "victim")
		if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := make(path, victim); err != nil {
			t.Fatal(err)
		}
		l := &logFile{path: path}
		if err := l.write([]byte("a\n")); err == nil || !strings.Contains(l.Fault(), path) {
			t.Errorf("%s: %v, fault %q", name, err, l.Fault())
		}
		if data, err := os.ReadFile(victim); string(data) != "secret" {
			t.Errorf("%s: the other file holds %q, %v", name, data, err)
		}
		l.close()
	}
}

// TestLogDiskThatHangs: it is waited for once and not for long, and what is said meanwhile goes elsewhere.
func TestLogDiskThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	elsewhere := &brokenPlace{}
	l := &fileOrSyslog{file: &logFile{path: path}, sys: elsewhere}
	say := func(line string) {
		t.Helper()
		if err := l.put(zapcore.Entry{}, []byte(line)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	say("a\n")
	answer := make(chan struct{})
	hanging := func() error {
		<-answer
		return l.file.write([]byte("b\n"))
	}
	if err := l.do(hanging); !errors.Is(err, errLogHangs) {
		t.Errorf("of a disk that hangs: %v", err)
	}
	say("c\n")
	if fault := l.fault(); !strings.Contains(fault, path) || !strings.Contains(fault, errLogHangs.Error()) {
		t.Errorf("fault %q", fault)
	}
	close(answer)
	<-l.last
	say("d\n")
	if fault := l.fault(); fault != "" {
		t.Errorf("fault %q when it answers again", fault)
	}
	l.close()
	if data, err := os.ReadFile(path); string(data) != "a\nb\nd\n" || strings.Join(elsewhere.lines, "") != "c\n" {
		t.Errorf("the file has %q, %v, elsewhere are %q", data, err, elsewhere.lines)
	}
}

// TestLogDiskThatHangsAtTheEnd: the relay ends without it.
func TestLogDiskThatHangsAtTheEnd(t *testing.T) {
	l := &fileOrSyslog{file: &logFile{path: filepath.Join(t.TempDir(), "log")}, sys: &brokenPlace{}}
	answer := make(chan struct{})
	_ = l.do(func() error { <-answer; return nil })
	q := &logQueue{place: l}
	q.put("k", zapcore.Entry{Time: time.Now()}, []byte("a\n"))
	q.close()
	close(answer)
	<-l.last
}

// TestLogFileIsNoDisk: a block device is refused before it is opened.
func TestLogFileIsNoDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(4095, 1))); err != nil { // there is no such device
		t.Skip("needs the right to make a device: ", err)
	}
	l := &logFile{path: path}
	defer l.close()
	if err := l.write([]byte("a\n")); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

// TestLogFileIsNotAuditds, by whatever name.
func TestLogFileIsNotAuditds(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "audit", "audit.log")
	for _, err := range []error{os.Mkdir(filepath.Dir(log), 0o700), os.WriteFile(log, []byte("records\n"), 0o600), os.Symlink("audit", filepath.Join(dir, "a"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"audit/audit.log", "a/audit.log", "a/audit.log.7"} {
		l := &logFile{path: filepath.Join(dir, name), not: []config.Reserved{{Path: log, Of: "auditd"}}}
		if err := l.write([]byte("a\n")); err == nil || !strings.Contains(err.Error(), "of the files of auditd") {
			t.Errorf("%s: %v", name, err)
		}
		l.close()
	}
	if text, err := os.ReadFile(log); string(text) != "records\n" {
		t.Errorf("audit.log has %q, %v", text, err)
	}
	if _, err := os.Stat(log + ".7"); !os.IsNotExist(err) {
		t.Errorf("a rotation was made: %v", err)
	}
}
