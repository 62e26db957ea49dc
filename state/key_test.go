package state

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	fresh := NewKey()
	key, err := Key(dir, fresh)
	if err != nil || !bytes.Equal(key, fresh) {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, KeyName))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != keySize {
		t.Errorf("%v, %v", info, err)
	}
	if again, err := Key(dir, NewKey()); err != nil || !bytes.Equal(again, key) {
		t.Errorf("another key the second time: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

// TestKeyThatProvesNothing: others know it, or it is none. The error does not say the key.
func TestKeyThatProvesNothing(t *testing.T) {
	text := bytes.Repeat([]byte("k"), keySize)
	for name, make := range map[string]func(path string) error{
		"others read it": func(path string) error {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return err
			}
			return os.Chmod(path, 0o640)
		},
		"too short":   func(path string) error { return os.WriteFile(path, text[1:], 0o600) },
		"too long":    func(path string) error { return os.WriteFile(path, append(text, 'k'), 0o600) },
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":      func(path string) error { return os.Symlink("/dev/zero", path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := make(filepath.Join(dir, KeyName)); err != nil {
			t.Fatal(err)
		}
		if key, err := Key(dir, NewKey()); err == nil || key != nil {
			t.Errorf("%s: it is taken", name)
		} else if strings.Contains(err.Error(), "kkk") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
