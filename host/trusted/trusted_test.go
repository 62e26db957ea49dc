package trusted

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write writes a file that only its owner may write.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWhatIsNoFileIsRefused: soon, and with its name.
func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	fifo, gone, loop := filepath.Join(dir, "fifo"), filepath.Join(dir, "gone"), filepath.Join(dir, "loop")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere/at/all", gone); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo: fifo + ": is not a regular file", dir: dir + ": is not a regular file", "/dev/null": "/dev/null: is not a regular file",
		gone: gone + ": is a symbolic link to /nowhere/at/all, which is not there", loop: "too many levels of symbolic links", filepath.Join(dir, "none"): "no such file",
		write(t, filepath.Join(dir, "large"), strings.Repeat("x", 2049)): "large: file too large (limit 2KiB)",
	} {
		data, info, err := Read(path, 2048, 0)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || data != nil || info != nil {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, _, err := Read(filepath.Join(dir, "none"), 1, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestFilesAreReadWhole(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "x", strings.Repeat("y", 2048)} {
		path, link := write(t, filepath.Join(dir, "file"), text), filepath.Join(dir, "link")
		os.Remove(link)
		if err := os.Symlink("file", link); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{path, link} {
			data, info, err := Read(path, 2048, 0o022)
			if string(data) != text || err != nil || info.Size() != int64(len(text)) || !info.Mode().IsRegular() {
				t.Errorf("%d bytes: %d, %v", len(text), len(data), err)
			}
		}
	}
}

// TestFileThatChangesIsReadAgain: what is half written is not taken for the file.
func TestFileThatChangesIsReadAgain(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "file"), "0")
	for _, c := range []struct {
		changes, tries int
		ok             bool
	}{{0, 1, true}, {1, 2, true}, {readTries - 1, readTries, true}, {readTries, readTries, false}} {
		tries := 0
		data, _, err := ReadChecked(path, 100, func(fs.FileInfo) error {
			if tries++; tries > c.changes {
				return nil
			}
			write(t, path, strings.Repeat("x", tries))
			return os.Chtimes(path, time.Time{}, time.Unix(int64(1000*(c.changes+1)+tries), 0)) // another time, however coarse the clock is
		})
		if tries != c.tries || (err == nil) != c.ok {
			t.Errorf("%d changes: %d tries, %v", c.changes, tries, err)
		}
		if err != nil && (!errors.Is(err, errChanges) || !strings.HasPrefix(err.Error(), path+": ") || data != nil) {
			t.Errorf("%q, %v", data, err)
		}
	}
}

// TestObjectionEndsIt: what may not be read is not.
func TestObjectionEndsIt(t *testing.T) {
	path, no := write(t, filepath.Join(t.TempDir(), "file"), "x"), errors.New("no")
	if data, _, err := ReadChecked(path, 100, func(fs.FileInfo) error { return no }); data != nil || !errors.Is(err, no) {
		t.Errorf("%q, %v", data, err)
	}
	if data, _, err := ReadChecked(path, 100, nil); string(data) != "x" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// TestRootTrustsItsOwnFiles: only those, and only while nobody else may write them.
func TestRootTrustsItsOwnFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files of another owner")
	}
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	for _, c := range []struct {
		mode, forbidden fs.FileMode
		uid             int
		want            string
	}{
		{0o600, 0o022, 0, ""},
		{0o644, 0o022, 0, ""},
		{0o664, 0o022, 0, ": has mode 0664, others than root must not write it: run chmod go-w " + path},
		{0o602, 0o022, 0, ": has mode 0602, others than root must not write it: run chmod o-w " + path},
		{0o660, 0o020, 0, ": has mode 0660, others than root must not write it: run chmod g-w " + path},
		{0o660, 0o002, 0, ""},
		{0o600, 0, 1, ": is owned by uid 1, must be root's: run chown root " + path},
		{0o666, 0o022, 1, ": is owned by uid 1"},
	} {
		if err := os.Chown(path, c.uid, c.uid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := Read(path, 100, c.forbidden)
		if (err == nil) != (c.want == "") || (err != nil && !strings.HasPrefix(err.Error(), path+c.want)) {
			t.Errorf("%o of %d: %v, want %s", c.mode, c.uid, err, c.want)
		}
	}
}

func TestSizeText(t *testing.T) {
	for bytes, want := range map[int]string{1: "1", 1023: "1023", 1024: "1KiB", 1536: "1536", 1 << 20: "1MiB", 3 << 10: "3KiB"} {
		if got := sizeText(bytes); got != want {
			t.Errorf("%d: %s", bytes, got)
		}
	}
}
