package otlp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filled returns a request with one event.
func filled(t *testing.T) *message {
	m := newMessage(testIdentity, false)
	b := lines(1)
	m.fill(&b, []event{{0, 1, b.Buf}})
	return m
}

// TestDeadLettersAreBounded: by bytes; what is there stays, and room that is made is used.
func TestDeadLettersAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "dead")
	d := &deadLetters{dir: dir, name: "x", most: 2000}
	defer d.close()
	m, now := filled(t), time.Now()
	var err error
	written := 0
	for ; written < 100 && err == nil; written++ {
		now = now.Add(time.Nanosecond)
		err = d.write(&m.request, 400, now)
	}
	files, _ := os.ReadDir(dir)
	size := 0
	for _, f := range files {
		info, _ := f.Info()
		size += int(info.Size())
	}
	if err == nil || !strings.Contains(err.Error(), "dead_letter_size") || len(files) != written-1 || len(files) == 0 || size > 2000 {
		t.Fatalf("%d files of %d bytes: %v", len(files), size, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	os.Remove(filepath.Join(dir, files[0].Name()))
	if err := d.write(&m.request, 400, now.Add(time.Second)); err != nil {
		t.Error(err)
	}
}

// TestDeadLettersOfASinkCountForIt: two sinks in one directory, the name of one beginning like the other's.
func TestDeadLettersOfASinkCountForIt(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1800000000, 0)
	one := &deadLetters{dir: dir, name: "a", most: 1 << 20}
	other := &deadLetters{dir: dir, name: "a-b", most: 1 << 20}
	defer one.close()
	defer other.close()
	for _, d := range []*deadLetters{one, other, other} {
		now = now.Add(time.Nanosecond)
		if err := d.write(&filled(t).request, 400, now); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a-notes.json", "a-20270115T080000.000000000Z-4000.json", "a-20270115T080000.000000000Z-400.json.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a person's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	torn := "a-b-20270115T080000.000000000Z-400.json.new" // of a process that was killed
	if err := os.WriteFile(filepath.Join(dir, torn), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	for d, want := range map[*deadLetters]int{one: 1, other: 3} {
		d.close()
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		if d.files != want {
			t.Errorf("sink %s has %d files, want %d", d.name, d.files, want)
		}
	}
}

// TestDeadLettersFollowNothing: what stands in the place of a file, or lets others in, is left alone.
func TestDeadLettersFollowNothing(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1800000000, 0)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "x-"+now.UTC().Format("20060102T150405.000000000Z")+"-400.json")
	if err := os.Symlink(victim, name+".new"); err != nil {
		t.Fatal(err)
	}
	d := &deadLetters{dir: dir, name: "x", most: 1 << 20}
	defer d.close()
	if err := d.write(&filled(t).request, 400, now); err == nil {
		t.Error("written through a link")
	}
	if text, _ := os.ReadFile(victim); string(text) != "whole" {
		t.Errorf("%q", text)
	}

	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d.close()
	if err := d.write(&filled(t).request, 400, now.Add(1)); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
		t.Error(err)
	}
}

// TestDeadLettersWithoutADirectory: what stands in the place of the directory is an error, and no more.
func TestDeadLettersWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deadLetters{dir: file, name: "x", most: 1 << 20}
	if err := d.write(&filled(t).request, 400, time.Now()); err == nil {
		t.Error("a file was taken for a directory")
	}
}
