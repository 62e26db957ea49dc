package file

import (
	"errors"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
	"audisp-relay/sinks"
)

// What a worker asks its monitor for: what osFS does with the directory and with names. The open file is the worker's.
const (
	opDir    = "dir" // all others but opLook name what it has opened
	opLook   = "look"
	opOpen   = "open"
	opLstat  = "lstat"
	opNames  = "names"
	opMkdir  = "mkdir"
	opRename = "rename"
	opRemove = "remove"
	opSync   = "sync"
	opGive   = "give"
	opChmod  = "chmod"
	opChown  = "chown"
	opClose  = "close"
)

// asked are the arguments of these; each operation uses some of them.
type asked struct {
	Dir      uint64
	Name, To string
	How      string
	Replace  bool
	Mode     uint32
	UID, GID int
}

// Ways to open a file.
const (
	howAppend = "append" // the file that there is
	howMake   = "make"   // the file, which must not be there
	howRead   = "read"   // one that was rotated
	howTemp   = "temp"   // the compressed one, which must not be there
)

// flagsOf are the ways by which files are opened, but for O_CLOEXEC.
var flagsOf = map[string]int{
	howAppend: appendFlags,
	howMake:   appendFlags | unix.O_CREAT | unix.O_EXCL,
	howRead:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK,
	howTemp:   unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW,
}

// openedDir says what has become of opDir.
type openedDir struct {
	Dir      uint64
	Dev, Ino uint64
	Real     string
	Shut     []string
	Doubts   []string
	Sticky   bool
	Shared   bool
	Insecure string // why it is not used, if not ""
}

// fileSystemOf returns what a sink asks: the operating system, or the monitor.
func fileSystemOf(cfg *config.Sink) fileSystem {
	if m := broker.Monitor(); m != nil {
		return &askedFS{m, sinks.Item(cfg)}
	}
	return osFS{}
}

// askedFS has the monitor do what osFS does.
type askedFS struct {
	m    *broker.Client
	item string
}

func (s *askedFS) do(op string, a asked, result any) error { return s.m.Do(s.item, op, a, result) }

func (s *askedFS) Lstat(string) (st unix.Stat_t, err error) { // of the sink's file, which is the only path it is called with
	err = s.do(opLook, asked{}, &st)
	return st, err
}

// OpenDir implements fileSystem. The monitor has a guard of its own.
func (s *askedFS) OpenDir(path string, _ guard) (folder, error) {
	var d openedDir
	err := s.do(opDir, asked{Name: path}, &d)
	if err == nil && d.Insecure != "" {
		err = &insecure{why: d.Insecure, real: d.Real}
	}
	if err != nil {
		return nil, err
	}
	return &askedDir{s, d.Dir, location{
		id: fileID{d.Dev, d.Ino}, real: d.Real, shut: d.Shut, doubts: d.Doubts, sticky: d.Sticky, shared: d.Shared,
	}}, nil
}

// askedDir is a directory that the monitor has opened.
type askedDir struct {
	fs    *askedFS
	dir   uint64
	place location
}

func (d *askedDir) Place() location { return d.place }
func (d *askedDir) Close() error    { return d.fs.do(opClose, asked{Dir: d.dir}, nil) }
func (d *askedDir) Sync() error     { return d.fs.do(opSync, asked{Dir: d.dir}, nil) }

func (d *askedDir) Open(name string, flags int, _ uint32) (handle, error) {
	for how, same := range flagsOf {
		if flags != same {
			continue
		}
		fd, err := d.fs.m.Open(d.fs.item, opOpen, asked{Dir: d.dir, Name: name, How: how}, nil)
		if err != nil {
			return nil, err
		}
		return &askedFile{osFile(fd), d, name}, nil
	}
	return nil, errors.New("the relay's monitor does not open files this way")
}

func (d *askedDir) Lstat(name string) (st unix.Stat_t, err error) {
	err = d.fs.do(opLstat, asked{Dir: d.dir, Name: name}, &st)
	return st, err
}

func (d *askedDir) Rotations(string) (names []string) { // of the sink's file
	_ = d.fs.do(opNames, asked{Dir: d.dir}, &names) // as far as that can be read
	return names
}

func (d *askedDir) Mkdir(name string, perm uint32) error {
	return d.fs.do(opMkdir, asked{Dir: d.dir, Name: name, Mode: perm}, nil)
}

func (d *askedDir) Rename(from, to string, replace bool) error {
	return d.fs.do(opRename, asked{Dir: d.dir, Name: from, To: to, Replace: replace}, nil)
}

func (d *askedDir) Remove(name string) error {
	return d.fs.do(opRemove, asked{Dir: d.dir, Name: name}, nil)
}

func (d *askedDir) Give(int, uint32) error { return d.fs.do(opGive, asked{Dir: d.dir}, nil) }

// askedFile is a file that the monitor has opened under name.
type askedFile struct {
	osFile
	dir  *askedDir
	name string
}

func (f *askedFile) Chmod(mode uint32) error {
	return f.dir.fs.do(opChmod, asked{Dir: f.dir.dir, Name: f.name, Mode: mode}, nil)
}

func (f *askedFile) Chown(uid, gid int) error {
	return f.dir.fs.do(opChown, asked{Dir: f.dir.dir, Name: f.name, UID: uid, GID: gid}, nil)
}
