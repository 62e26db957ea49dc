package file

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

// maxDirs is how many directories a sink may have open: its own, the compressor's, and those of the sink before a reload.
const maxDirs = 8

// maxNames bounds how many bytes of names opNames returns.
const maxNames = 32 << 10

// warden is the sinks.Warden of a sink: it lets the worker have its file and what that is rotated to, and nothing beside them. All
// that a sink without a monitor looks at before it trusts a directory or a file is looked at here.
type warden struct {
	cfg   atomic.Pointer[config.Sink]
	names broker.Handler // opNames, which reads the directory, as often as a sink asks for that

	mu   sync.Mutex // guards all below; held while a disk may hang
	last uint64
	dirs map[uint64]*wardenDir
}

// wardenDir is an open directory, with the settings that the sink had when it was opened.
type wardenDir struct {
	folder
	cfg   *Config
	guard guard
	above bool // it is the one in which the directory of the file is made
}

func newWarden() sinks.Warden {
	w := &warden{dirs: make(map[uint64]*wardenDir)}
	w.names = broker.Limit(16, 1, w.serve) // it does once a minute, where its file was truncated
	return w
}

// Configure implements sinks.Warden. It does not wait for a disk.
func (w *warden) Configure(cfg config.Sink) { w.cfg.Store(&cfg) }

// Retire implements sinks.Warden. What is left of the sink's records may still need its file.
func (w *warden) Retire() {}

// Close implements sinks.Warden.
func (w *warden) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dirs {
		d.Close()
	}
	clear(w.dirs)
}

// Serve implements sinks.Warden. A disk that hangs holds up this sink alone.
func (w *warden) Serve(c *broker.Call) (broker.Answer, error) {
	if c.Op == opNames {
		return w.names(c)
	}
	return w.serve(c)
}

func (w *warden) serve(c *broker.Call) (a broker.Answer, err error) {
	var args asked
	if err := c.Args(&args); err != nil {
		return a, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	sink := w.cfg.Load()
	cfg, ok := sink.Settings.(*Config)
	if !ok {
		return a, c.Unknown()
	}

	switch c.Op {
	case opLook:
		a.Result, err = osFS{}.Lstat(cfg.Path)
		return a, err
	case opDir:
		a.Result, err = w.openDir(cfg, sink.Reserved, args.Name)
		return a, err
	}

	d := w.dirs[args.Dir]
	if d == nil {
		return a, c.Unknown()
	}
	if c.Op == opClose {
		delete(w.dirs, args.Dir)
		return a, d.Close()
	}
	if d.above {
		if c.Op != opMkdir || args.Name != filepath.Base(filepath.Dir(d.cfg.Path)) {
			return a, c.Unknown()
		}
		return a, d.Mkdir(args.Name, 0o750)
	}
	return d.serve(c, &args)
}

// openDir opens the directory of the file or, where the sink may make that, the one above.
func (w *warden) openDir(cfg *Config, reserved []config.Reserved, path string) (o openedDir, err error) {
	own := filepath.Dir(cfg.Path)
	above := own == defaultDir && path == filepath.Dir(own)
	if path != own && !above {
		return o, fmt.Errorf("%.80q is no directory of this sink", path)
	}

	g := guardOf(cfg)
	g.reserve(reserved)
	dir, err := osFS{}.OpenDir(path, g)
	if unsafe, ok := errors.AsType[*insecure](err); ok {
		return openedDir{Insecure: unsafe.why, Real: unsafe.real}, nil
	}
	if err != nil {
		return o, err
	}

	p := dir.Place()
	if of, taken := named(reserved, p.id, cfg); taken && !above {
		dir.Close()
		return openedDir{Insecure: fmt.Sprintf("it is of the files of %s: name another path", of), Real: p.real}, nil
	}
	if len(w.dirs) >= maxDirs { // one that was forgotten
		oldest := slices.Min(slices.Collect(maps.Keys(w.dirs)))
		w.dirs[oldest].Close()
		delete(w.dirs, oldest)
	}

	w.last++
	w.dirs[w.last] = &wardenDir{dir, cfg, g, above}
	return openedDir{
		Dir: w.last, Dev: p.id.dev, Ino: p.id.ino, Real: p.real, Shut: p.shut, Doubts: p.doubts, Sticky: p.sticky, Shared: p.shared,
	}, nil
}

// serve does something in the directory of the file.
func (d *wardenDir) serve(c *broker.Call, args *asked) (a broker.Answer, err error) {
	isOurs := d.has(args.Name)
	switch c.Op {
	case opSync:
		return a, d.Sync()
	case opGive:
		if filepath.Dir(d.cfg.Path) != defaultDir {
			return a, c.Unknown()
		}
		return a, d.Give(int(guardOf(d.cfg).gid), 0o750) // the group may have come since the directory was opened
	case opNames:
		a.Result = d.rotated()
		return a, nil
	case opLstat:
		if !isOurs && !config.IsRotation(args.Name, filepath.Base(d.cfg.Path)) {
			return a, c.Unknown()
		}
		a.Result, err = d.Lstat(args.Name)
		return a, err
	}

	if !isOurs {
		return a, c.Unknown()
	}
	switch c.Op {
	case opOpen:
		return d.open(c, args)
	case opRemove:
		return a, d.Remove(args.Name)
	case opRename:
		if !d.has(args.To) || (args.Replace && args.Name != d.tempName()) {
			return a, c.Unknown()
		}
		return a, d.Rename(args.Name, args.To, args.Replace)
	case opChmod:
		if args.Mode&^0o777 != 0 || args.Mode&0o002 != 0 {
			return a, unix.EPERM
		}
		return a, d.change(args.Name, func(f handle) error { return f.Chmod(args.Mode) })
	case opChown:
		return a, d.chown(args)
	}
	return a, c.Unknown()
}

// has reports whether the sink may have a file of that name: its own, one to which a rotation renames that, or the one
// into which it is compressed.
func (d *wardenDir) has(name string) bool {
	base := filepath.Base(d.cfg.Path)
	if name == base || name == d.tempName() {
		return true
	}
	return config.RotatesTo(base, d.cfg.MaxFiles, name)
}

func (d *wardenDir) tempName() string { return tempName(filepath.Base(d.cfg.Path)) }

// rotated lists the file and what it was renamed to, by the sink or another program, as much of it as a message takes.
func (d *wardenDir) rotated() (names []string) {
	size := 0
	for _, name := range d.Rotations(filepath.Base(d.cfg.Path)) {
		if size += len(name); size > maxNames {
			break
		}
		names = append(names, name)
	}
	return names
}

// open opens a file as the sink does itself where it has no monitor, and looks at it once more after that.
func (d *wardenDir) open(c *broker.Call, args *asked) (a broker.Answer, err error) {
	flags, known := flagsOf[args.How]
	base := filepath.Base(d.cfg.Path)
	own := args.How == howAppend || args.How == howMake
	if !known || own != (args.Name == base) || (args.How == howTemp) != (args.Name == d.tempName()) {
		return a, c.Unknown()
	}
	f, err := d.opened(args.Name, flags)
	if err != nil {
		return a, err
	}
	a.FDs = []int{int(f)}
	return a, nil
}

// opened opens a regular file that may be written to.
func (d *wardenDir) opened(name string, flags int) (osFile, error) {
	if flags&unix.O_CREAT == 0 {
		was, err := d.Lstat(name)
		if err == nil && was.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
		if err == nil {
			err = d.guard.judgeFile(&was, d.Place())
		}
		if err != nil {
			return -1, err
		}
	}

	h, err := d.Open(name, flags, 0o600)
	if err != nil {
		return -1, err
	}

	f := h.(osFile)
	st, err := f.Stat()
	now, nowErr := d.Lstat(name)
	if err = errors.Join(err, nowErr); err == nil {
		err = d.guard.judgeFile(&now, d.Place())
	}
	if err == nil && idOf(&st) != idOf(&now) {
		err = unix.ENOENT // it was replaced: the sink tries again
	}
	if err != nil {
		f.Close()
		return -1, err
	}
	return f, nil
}

// change changes a file that may be written to, whatever becomes of its name meanwhile.
func (d *wardenDir) change(name string, do func(handle) error) error {
	f, err := d.opened(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// chown gives a file to the owner and group of the configuration, or leaves it to those that it has.
func (d *wardenDir) chown(args *asked) error {
	uid, _ := lookup(d.cfg.Owner, 0, config.FindUser) // one that is not known is root
	gid, _ := lookup(d.cfg.Group, 0, config.FindGroup)
	return d.change(args.Name, func(f handle) error {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if (args.UID != int(uid) && args.UID != int(st.Uid)) || (args.GID != int(gid) && args.GID != int(st.Gid)) {
			return unix.EPERM
		}
		return f.Chown(args.UID, args.GID)
	})
}
