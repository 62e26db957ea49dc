package file

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
)

// defaultDir is the one directory that is made when it is missing, if the one
// it is in exists: any other was named by the administrator, who knows its mode.
const defaultDir = "/var/log/audisp-relay"

// open opens the file and returns its size.
func (w *writer) open() (int64, error) {
	w.guard = guardOf(&w.cfg)
	w.guard.reserve(w.reserved)
	dir, err := w.openDir()
	if err != nil {
		return 0, w.openError(err)
	}
	f, st, err := w.openAppend(dir)
	if err != nil {
		dir.Close()
		return 0, w.openError(err)
	}

	w.dir, w.f, w.id = dir, f, idOf(&st)
	w.checked, w.synced = time.Now(), time.Now()
	if st.Size > 0 && holdsOther(f, st.Size) {
		w.leaveOther()
	} else {
		w.own(f, &st)
	}
	if w.torn, err = w.endsTorn(st.Size); err != nil {
		w.letGo()
		return 0, w.openError(err)
	}
	if st.Size == 0 && w.cfg.Sync != "none" {
		if err := w.dir.Sync(); err != nil {
			w.letGo()
			return 0, w.fail("sync the directory of", err)
		}
	}

	if w.cfg.Compress {
		w.zip.start()
	} else {
		w.zip.clean(w.dir) // it may have been on before
	}
	return st.Size, nil
}

var errNotRegular = errors.New("not a regular file: move it away or name another path")

// openDir opens the directory. One that leads elsewhere than before is taken only after a
// SIGHUP.
func (w *writer) openDir() (folder, error) {
	path := filepath.Dir(w.cfg.Path)
	dir, err := w.fs.OpenDir(path, w.guard)
	if errors.Is(err, unix.ENOENT) && path == defaultDir {
		if dir, err = w.makeDir(path); err != nil {
			return nil, fmt.Errorf("mkdir %s: %w", path, err)
		}
	}
	if err != nil {
		if unsafe, ok := errors.AsType[*insecure](err); ok && w.real == "" {
			w.real = unsafe.real // nor is what is put there now
		}
		return nil, err
	}

	p := dir.Place()
	if of, taken := named(w.reserved, p.id, &w.cfg); taken {
		dir.Close()
		return nil, refuse("it is of the files of %s: name another path", of)
	}
	if w.real != "" && w.real != p.real {
		dir.Close()
		return nil, refuse("its directory was %s and leads to %s now: move it back, or send SIGHUP if that is meant", w.real, p.real)
	}
	w.real = p.real

	for _, why := range p.doubts {
		w.warnOnce(why, "others than root can replace this file or its directory", zap.String("why", why))
	}
	if len(p.shut) > 0 && w.cfg.Mode&0o040 != 0 {
		shut := p.shut[0]
		w.warnOnce("shut", "the file's group cannot reach it, as it may not pass a directory above: "+
			"run chgrp "+w.cfg.Group+" "+shut+" && chmod g+x "+shut, zap.String("directory", shut), zap.String("group", w.cfg.Group))
	}
	return dir, nil
}

// makeDir makes the directory, for the group that is to read the file.
func (w *writer) makeDir(path string) (folder, error) {
	above, err := w.fs.OpenDir(filepath.Dir(path), w.guard)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := above.Mkdir(filepath.Base(path), 0o750); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	dir, err := w.fs.OpenDir(path, w.guard)
	if err != nil {
		return nil, err
	}
	w.madeDir = true
	if err = dir.Give(int(w.guard.gid), 0o750); err == nil {
		dir.Close() // what was found on the way has changed
		dir, err = w.fs.OpenDir(path, w.guard)
	}
	return dir, err
}

const appendFlags = unix.O_RDWR | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY

// openAppend opens the file or makes it. What it is is looked at before it is opened, as
// opening alone may do something to a device, and again after that: under its name
// here, as a link that was removed meanwhile does not show in the count of names.
// It is opened for reading, too, for endsTorn.
func (w *writer) openAppend(dir folder) (handle, unix.Stat_t, error) {
	name := filepath.Base(w.cfg.Path)
	var none unix.Stat_t
	for range 3 {
		var f handle
		was, err := dir.Lstat(name)
		switch {
		case errors.Is(err, unix.ENOENT):
			f, err = dir.Open(name, appendFlags|unix.O_CREAT|unix.O_EXCL, 0o600)
		case err == nil && was.Mode&unix.S_IFMT == unix.S_IFLNK:
			err = unix.ELOOP
		case err == nil:
			if err = w.guard.judgeFile(&was, dir.Place()); err == nil {
				f, err = dir.Open(name, appendFlags, 0)
			}
		}

		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOENT) {
			continue // it came or went
		}
		if err != nil {
			return nil, none, err
		}
		if err := w.lock(f); err != nil {
			f.Close()
			return nil, none, err
		}

		st, err := f.Stat()
		now, nowErr := dir.Lstat(name)
		if err = cmp.Or(err, nowErr); err == nil {
			err = w.guard.judgeFile(&now, dir.Place())
		}
		if err == nil && idOf(&st) == idOf(&now) {
			return f, st, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, none, err
		}
	}
	return nil, none, errMoving
}

var errMoving = errors.New("it is replaced again and again: find out by whom")

func (w *writer) openError(err error) error {
	dir := filepath.Dir(w.cfg.Path)
	switch {
	case errors.As(err, new(*insecure)), errors.Is(err, errMoving), errors.Is(err, errHeld), errors.Is(err, errNotRegular):
		return fmt.Errorf("open %s: %w", w.cfg.Path, err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("open %s: its directory is missing: mkdir -p -m 0750 %s", w.cfg.Path, dir)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("open %s: %w: name a path below a directory", w.cfg.Path, err)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("open %s: a symbolic link: name the file itself", w.cfg.Path)
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open %s: %w", w.cfg.Path, errNotRegular)
	}
	return w.fail("open", err)
}

// endsTorn reports whether the last line lacks its newline: the process that wrote it was
// killed, or the disk was full. Frames have none.
func (w *writer) endsTorn(size int64) (bool, error) {
	if size == 0 || w.enc.Format == format.Binary {
		return false, nil
	}
	var last [1]byte
	if _, err := w.f.ReadAt(last[:], size-1); err != nil {
		// Truncated meanwhile, most likely: the next attempt finds out.
		return false, fmt.Errorf("read its last byte: %w", err)
	}
	return last[0] != '\n', nil
}

// own gives the file the configured owner and mode. It was made with mode
// 0600: until then no other user can open it. What cannot be done is reported, and
// the records are written nevertheless.
func (w *writer) own(f handle, st *unix.Stat_t) {
	w.flaw.Store(nil)
	uid, uidErr := lookup(w.cfg.Owner, st.Uid, config.FindUser)
	w.warn("owner", w.cfg.Owner, uidErr)
	gid, gidErr := lookup(w.cfg.Group, st.Gid, config.FindGroup)
	w.warn("group", w.cfg.Group, gidErr)
	w.unowned, w.ownedAt = uidErr != nil || gidErr != nil, time.Now()
	if uid != st.Uid || gid != st.Gid {
		w.warn("owner", w.cfg.Owner+":"+w.cfg.Group, f.Chown(int(uid), int(gid)))
	}
	if st.Mode&0o7777 != w.cfg.Mode {
		w.warn("mode", fmt.Sprintf("%04o", w.cfg.Mode), f.Chmod(w.cfg.Mode))
	}
}

// ownEvery is how often an owner or group that was not known is looked up again.
const ownEvery = 5 * time.Second

// ownLate gives the file its owner and group when they are known at last, and the group the
// directory that was made for it.
func (w *writer) ownLate() {
	if w.f == nil || !w.unowned || time.Since(w.ownedAt) < ownEvery {
		return
	}
	st, err := w.f.Stat()
	if err != nil {
		return
	}
	w.own(w.f, &st)
	if w.guard = guardOf(&w.cfg); w.madeDir && w.guard.gid != 0 {
		w.warn("group", w.cfg.Group, w.dir.Give(int(w.guard.gid), 0o750))
	}
	if !w.unowned {
		w.flaw.Store(nil)
		delete(w.warned, "owner")
		delete(w.warned, "group")
		w.log.Info("file has the configured owner and group now", zap.String("path", w.cfg.Path),
			zap.String("owner", w.cfg.Owner), zap.String("group", w.cfg.Group))
	}
}

// guardOf trusts the user and the group that the file is given to.
func guardOf(cfg *Config) (g guard) {
	if uid, err := lookup(cfg.Owner, 0, config.FindUser); err == nil {
		g.uids = []uint32{uid}
	}
	if gid, err := lookup(cfg.Group, 0, config.FindGroup); err == nil {
		g.gid = gid
	}
	return g
}

// warn reports, once for each of owner, group and mode, that the file cannot have it.
func (w *writer) warn(what, value string, err error) {
	if err == nil {
		return
	}
	flaw := fmt.Sprintf("%s cannot have the configured %s %q: %v: correct the config or the file, or make the account", w.cfg.Path, what, value, err)
	w.flaw.Store(&flaw)
	w.warnOnce(what, "file cannot have the configured "+what+": records are written nevertheless; correct the config or the file",
		zap.String(what, value), zap.Error(err))
}

// lookup turns a name or number into a number, otherwise when it is empty or
// unknown.
func lookup(name string, otherwise uint32, find func(string) (uint32, error)) (uint32, error) {
	if name == "" {
		return otherwise, nil
	}
	n, err := find(name)
	if err != nil {
		n = otherwise
	}
	return n, err
}

// replaced reports whether the path names another file than the open one, or none:
// something else rotates it. It looks about once a second.
func (w *writer) replaced() bool {
	now := time.Now()
	if now.Sub(w.checked) < checkEvery {
		return false
	}
	w.checked = now
	return !w.inPlace()
}

// inPlace reports whether the path names the open file. Where that is not known, the
// file that is open is good enough.
func (w *writer) inPlace() bool {
	st, err := w.fs.Lstat(w.cfg.Path)
	if err != nil {
		return !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR)
	}
	return idOf(&st) == w.id
}
