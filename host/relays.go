package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// loads says whether auditd reads a file of that name in its plugin directory (load_plugin_conf
// in audisp/audispd.c): none that begins with a dot or has two of them; since 4.0.3 none
// that has another ending than .conf either. So up to 4.0.2 it starts x.bak, x.conf~ and
// #x.conf#, and every version starts "copy.conf" and a name without any dot, but none
// x.conf.bak or x.conf.dpkg-old. An unknown version reads all that any version does.
func (a Auditd) loads(name string) bool {
	if strings.HasPrefix(name, ".") || strings.Count(name, ".") > 1 {
		return false
	}
	ext := filepath.Ext(name)
	return ext == "" || ext == ".conf" || !a.AtLeast(4, 0, 3)
}

// secondDropIns lists the files beside ours that start the relay too. Those that the auditd
// of this machine skips, but others do not, are for a warning.
func (i *Installer) secondDropIns(a Auditd, dir string) (started, others []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read plugin directory: %w", err)
	}

	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Name() == DropInName || e.Name() == holderName || !(Auditd{}).loads(e.Name()) {
			continue
		}
		text, err := readRegular(path)
		if err != nil || !i.startsRelay(parseDropIn(text)) {
			continue // auditd cannot use it, or it is another plugin's
		}
		if a.loads(e.Name()) {
			started = append(started, path)
		} else {
			others = append(others, path)
		}
	}
	return started, others, nil
}

// startsRelay says whether a plugin's file is active and names this program, or one of its
// name.
func (i *Installer) startsRelay(d dropIn) bool {
	if !d.active || d.binary == "" {
		return false
	}
	if filepath.Base(d.binary) == filepath.Base(DefaultBinary) {
		return true
	}
	return i.Machine.sameProgram(d.binary, i.Binary)
}

// refuseSecond says which files would start a second relay, or have started one.
func (i *Installer) refuseSecond(a Auditd, dir string) error {
	started, others, err := i.secondDropIns(a, dir)
	if err != nil {
		return err
	}
	for _, path := range others {
		i.Say("warning: %s starts a second relay under an auditd before 4.0.3: remove it", path)
	}
	if len(started) > 0 {
		return fmt.Errorf("auditd starts a second relay for %s: remove it (auditd also starts copies in its plugin directory), or put active = no into it",
			strings.Join(started, ", "))
	}
	return nil
}

// readRegular reads a small regular file, without waiting for a FIFO.
func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: remove it", path)
	}
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// readIfThere is readRegular, with nil for a file that is not there.
func readIfThere(path string) ([]byte, error) {
	data, err := readRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && err == nil
}
