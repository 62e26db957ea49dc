package auditlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"audisp-relay/host/broker"
)

const (
	// maxFiles bounds what is looked at: num_logs goes up to 999, KEEP_LOGS
	// renumbers without end (auditd.conf(5)).
	maxFiles = 1000
	// maxAhead is how many files after the one being read are held open, so that
	// auditd may delete them meanwhile.
	maxAhead = 8
	// maxHoles in the numbers end the list: a rotation in progress leaves one.
	maxHoles = 3
	// maxTries to list or open files. Only a rotation in between makes one fail: on a busy
	// machine there may be some.
	maxTries = 64
	// headSize bytes, which hold the id of the first record, and the time of birth
	// distinguish two files that got the same inode one after the other. Not every
	// file system has the one, an empty file has no other.
	headSize = 128
)

var errNotRegular = errors.New("not a regular file")

// logFile is audit.log or a rotation of it. Renaming keeps the inode, so it is
// known by that, wherever it moves; while it is open nothing else can get the
// inode, otherwise head must be the same too.
type logFile struct {
	gen      uint64 // rises from older to newer files
	dev, ino uint64
	born     int64 // ns, 0 when unknown
	head     [headSize]byte
	headLen  int
	index    int   // 0 is audit.log, n is audit.log.n, negative: no longer in the directory
	size     int64 // when listed
	mtime    int64 // when listed, ms since 1970
	f        *os.File
	gap      bool // lines between the file before and this one may have been missed
}

// is reports whether n, listed just now, is the file f.
func (f *logFile) is(n *logFile) bool {
	if f.dev != n.dev || f.ino != n.ino {
		return false
	}
	return f.f != nil || (f.born == n.born && n.headLen >= f.headLen && bytes.Equal(n.head[:f.headLen], f.head[:f.headLen]))
}

// update takes over what a new listing says of the file.
func (f *logFile) update(n *logFile) {
	f.head, f.headLen, f.index, f.size, f.mtime = n.head, n.headLen, n.index, n.size, n.mtime
}

// restat is for a file that no listing shows any more.
func (f *logFile) restat() {
	if f.f == nil {
		return
	}
	if info, err := f.f.Stat(); err == nil {
		f.size, f.mtime = info.Size(), info.ModTime().UnixMilli()
	}
}

func (f *logFile) close() {
	if f.f != nil {
		f.f.Close()
		f.f = nil
	}
}

// name of audit.log (0) or one of its rotations.
func (l *Reader) name(index int) string {
	if index <= 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(index)
}

// openRegular opens a file that must not be anything else than a file: a link
// could lead anywhere, a FIFO would hang or eat what others read. Where it
// cannot be opened, info is what is known of it nevertheless.
func openRegular(name string) (f *os.File, info fs.FileInfo, err error) {
	if m := broker.Monitor(); m != nil {
		return askOpen(m, name)
	}
	info, err = os.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, errNotRegular
	}

	f, err = os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, info, err
	}

	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, info, err
	}
	return f, info, nil
}

// lookAt looks at one file of the directory. One that is there but cannot be
// opened is returned with the error.
func (l *Reader) lookAt(index int) (*logFile, error) {
	f, info, err := openRegular(l.name(index))
	if f != nil {
		defer f.Close()
	}
	if info == nil || errors.Is(err, errNotRegular) {
		return nil, err
	}
	n := &logFile{index: index, size: info.Size(), mtime: info.ModTime().UnixMilli()}
	st := info.Sys().(*syscall.Stat_t)
	n.dev, n.ino = uint64(st.Dev), st.Ino
	if f != nil {
		n.headLen, _ = f.ReadAt(n.head[:], 0)
		n.born = birth(f)
	}
	return n, err
}

func birth(f *os.File) int64 {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

// list returns the files of the log, oldest first.
func (l *Reader) list() ([]*logFile, error) {
	for i := 1; ; i++ {
		files, err := l.listOnce()
		if err != nil || i == maxTries || len(files) == 0 {
			return files, err
		}
		// No rotation was completed meanwhile: the order is right.
		newest := files[len(files)-1]
		switch st, err := lookAtPath(l.path); {
		case err == nil && newest.index == 0 && st.Dev == newest.dev && st.Ino == newest.ino,
			err != nil && newest.index > 0:
			return files, nil
		}
	}
}

// listOnce looks at audit.log first and auditd renames the oldest first, so a
// rotation in progress shows a file twice and hides none.
func (l *Reader) listOnce() ([]*logFile, error) {
	var files []*logFile
	for i, holes := 0, 0; len(files) < maxFiles && holes < maxHoles; i++ {
		n, err := l.lookAt(i)
		switch {
		case errors.Is(err, fs.ErrNotExist), i > 0 && errors.Is(err, errNotRegular):
			holes++
			continue
		case n != nil && i > 0 && errors.Is(err, fs.ErrPermission): // reported when it is needed
		case err != nil:
			return nil, l.fault("open", i, err)
		}
		if k := len(files) - 1; k >= 0 && files[k].dev == n.dev && files[k].ino == n.ino {
			files[k].index = i
			continue
		}
		files = append(files, n)
	}
	slices.Reverse(files)
	return files, nil
}

// refresh brings l.files up to date with the directory.
func (l *Reader) refresh() error {
	seen, err := l.list()
	if err != nil {
		return err
	}
	newest := l.newest()
	seen = l.recognize(seen)
	gap := newest != nil && len(seen) > 0 && !slices.Contains(seen, newest)
	for _, f := range seen {
		if f.gen == 0 {
			l.maxGen++
			f.gen, f.gap, gap = l.maxGen, gap, false
		}
	}
	l.merge(seen)
	l.openAhead()
	return nil
}

// recognize replaces the listed files that are known by what is known of them,
// and leaves out older ones that cannot be put in order. Those left with
// gen 0 are newer than all that is known.
func (l *Reader) recognize(seen []*logFile) []*logFile {
	anchor := -1
	for i, n := range seen {
		for _, f := range l.files {
			if f.is(n) && !slices.Contains(seen[:i], f) {
				f.update(n)
				seen[i], anchor = f, i
				break
			}
		}
	}

	if anchor < 0 {
		return l.newer(seen)
	}

	// Older ones that were not seen before get the numbers below.
	for i := anchor - 1; i >= 0; i-- {
		switch below := seen[i+1].gen - 1; {
		case seen[i].gen == 0 && l.byGen(below) == nil:
			seen[i].gen = below
		case seen[i].gen == 0 || seen[i].gen > below:
			return seen[i+1:]
		}
	}
	return seen
}

// newer leaves out the files that auditd wrote before the newest known one,
// which has left the directory: each was last written before that was.
func (l *Reader) newer(seen []*logFile) []*logFile {
	newest := l.newest()
	if newest == nil {
		return seen
	}
	newest.restat()
	for len(seen) > 1 && seen[0].mtime < newest.mtime {
		seen = seen[1:]
	}
	return seen
}

// merge makes l.files what is in the directory and what is still held open.
func (l *Reader) merge(seen []*logFile) {
	lost := uint64(0) // the newest file after the current one that is out of reach
	for _, f := range l.files {
		if slices.Contains(seen, f) {
			continue
		}
		f.index = -1
		if f.f != nil {
			f.restat()
			seen = append(seen, f)
		} else if l.cur != nil && f.gen > l.cur.gen {
			lost = max(lost, f.gen)
		}
	}

	slices.SortFunc(seen, func(a, b *logFile) int { return cmp.Compare(a.gen, b.gen) })
	l.files = seen
	if next := l.after(lost); lost > 0 && next != nil {
		next.gap = true
	}
}

// openAhead holds the files after the current one open and lets go of all others. What cannot
// be opened is tried again when its turn comes.
func (l *Reader) openAhead() {
	if l.cur == nil {
		return
	}
	ahead := 0
	for _, f := range l.files {
		switch {
		case f == l.cur:
		case f.gen > l.cur.gen && ahead < maxAhead:
			ahead++
			_ = l.openNow(f)
		default:
			f.close()
		}
	}
}

// openNow opens f where the last listing found it.
func (l *Reader) openNow(f *logFile) error {
	if f.f != nil {
		return nil
	}
	if f.index < 0 {
		return fs.ErrNotExist
	}
	file, info, err := openRegular(l.name(f.index))
	if err != nil {
		return err
	}
	if st := info.Sys().(*syscall.Stat_t); uint64(st.Dev) != f.dev || st.Ino != f.ino {
		file.Close()
		return fs.ErrNotExist // rotated since
	}
	f.f = file
	return nil
}

// open opens f wherever it is now.
func (l *Reader) open(f *logFile) error {
	for i := 1; ; i++ {
		err := l.openNow(f)
		if err == nil {
			return nil
		}
		if i == maxTries || !errors.Is(err, fs.ErrNotExist) {
			return l.fault("open", f.index, err)
		}
		if err := l.refresh(); err != nil {
			return err
		}
		if !slices.Contains(l.files, f) {
			return fmt.Errorf("%s: a file of it %w", l.path, ErrGone)
		}
	}
}

func (l *Reader) newest() *logFile {
	if len(l.files) == 0 {
		return nil
	}
	return l.files[len(l.files)-1]
}

func (l *Reader) byGen(gen uint64) *logFile {
	if i := slices.IndexFunc(l.files, func(f *logFile) bool { return f.gen == gen }); i >= 0 {
		return l.files[i]
	}
	return nil
}

// after returns the file that follows the one with number gen, nil if none.
func (l *Reader) after(gen uint64) *logFile {
	if i := slices.IndexFunc(l.files, func(f *logFile) bool { return f.gen > gen }); i >= 0 {
		return l.files[i]
	}
	return nil
}

// fault says what failed on which file and what to do. The text is the same
// each time, so that a caller can distinguish a new fault from a lasting one.
func (l *Reader) fault(op string, index int, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	what := fmt.Errorf("%s %s: %w", op, l.name(index), err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: see log_file and write_logs in auditd.conf; if it was removed, restart auditd", what)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run the relay as root, or with the group that log_group in auditd.conf names", what)
	case errors.Is(err, errNotRegular):
		return fmt.Errorf("%w: auditd does not write to such either: move it away and restart auditd", what)
	}
	return fmt.Errorf("%w: look for disk errors in the kernel's log", what)
}
