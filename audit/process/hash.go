package process

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Hash is the SHA-256 of a program.
type Hash [sha256.Size]byte

const (
	// maxAsked is how many programs wait to be hashed; those for which there is no room have no hash.
	maxAsked = 64
	// maxHashes bounds how many hashes are kept for programs that are executed again.
	maxHashes = 4096
	// hashChunk is how much is read at a time, bytes, and idleShare how much longer than that took is waited after it: so it
	// takes a tenth of a core at most.
	hashChunk = 256 << 10
	idleShare = 9
)

// hashRequest is a program that has been executed, by the PATH record of its file.
type hashRequest struct {
	p    *Process
	file file
	most int64 // bytes
}

// program is what the content of a file is known by.
type program struct {
	dev, inode uint64
	changed    unix.Timespec
	size       int64
}

// SetHashed has the table ask for the hashes of programs of up to so many bytes from now on; 0 ends that.
func (t *Table) SetHashed(most int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hashed = most
}

// askHash asks for the hash of the program of p, of which the records name the file.
func (t *Table) askHash(p *Process, f file) {
	if t.hashed == 0 || p.state&gone != 0 || f == (file{}) {
		return
	}
	select {
	case t.asked <- hashRequest{p, f, t.hashed}:
	default:
	}
}

// hashOf returns the hash of the program of p, nil where it is not known. A process that was forked and has executed
// nothing runs the program of its parent.
func (t *Table) hashOf(p *Process) *Hash {
	for range maxForks {
		if p == nil || p.hash != nil || (p.from != fromFork && !p.from.isUnsure()) {
			break
		}
		p = t.at(p.ppid, p.at())
	}
	if p == nil || t.hashed == 0 {
		return nil
	}
	return p.hash
}

// Hash hashes the programs that are asked for until ctx ends. A file system that hangs makes it hang, too. The caller owns the
// goroutine.
func (t *Table) Hash(ctx context.Context) {
	known := make(map[program]*Hash)
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-t.asked:
			if buf == nil {
				buf = make([]byte, hashChunk)
			}
			if sum := hashProgram(ctx, &r, known, buf); sum != nil {
				t.mu.Lock()
				r.p.hash = sum
				t.mu.Unlock()
			}
		}
	}
}

// hashProgram returns the hash of a program, nil where it is too large or may not be the one that was executed.
func hashProgram(ctx context.Context, r *hashRequest, known map[program]*Hash, buf []byte) *Hash {
	// Whatever is at that path now is not opened before it is known what it is.
	fd, err := unix.Open(r.p.Exe(), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	is, ok := identify(fd, r)
	if !ok {
		return nil
	}
	if sum := known[is]; sum != nil {
		return sum
	}

	// The owner of a file may have a lease on it (fcntl(2), F_SETLEASE), for which an open would wait 45 s.
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	sum := readHash(ctx, io.LimitReader(f, is.size+1), is.size, buf)
	if still, ok := identify(int(f.Fd()), r); sum == nil || !ok || still != is {
		return nil
	}

	if len(known) >= maxHashes {
		clear(known)
	}
	known[is] = sum
	return sum
}

// identify returns what identifies a file. ok is false where the file is not the one that was executed, or has changed
// since.
func identify(fd int, r *hashRequest) (is program, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > r.most {
		return is, false
	}
	is = program{uint64(st.Dev), st.Ino, st.Ctim, st.Size}
	return is, isDevice(r.file.dev, is.dev) && r.file.inode == strconv.FormatUint(st.Ino, 10) && isBefore(st.Ctim, r.p.millis) && showsChanges(fd)
}

// isDevice reports whether a file's device is that of a record, which is that of the file system (kernel/auditsc.c,
// audit_copy_inode). Where stat(2) returns another one, as for each subvolume of btrfs, different files may have one
// inode number, and anybody can have a file of that number on a file system of their own; so the file does not count.
func isDevice(text string, dev uint64) bool {
	return text == fmt.Sprintf("%02x:%02x", unix.Major(dev), unix.Minor(dev))
}

// isBefore reports whether a file was last changed before an event, ms since 1970, and not in the same tick of the kernel's clock, from
// which both times are. Where there is nothing below the second, as in ext4 with small inodes, the change may be a second later.
func isBefore(changed unix.Timespec, millis int64) bool {
	last := changed.Nano() / 1e6
	if changed.Nsec == 0 {
		last += 1000
	}
	return last < millis
}

// showsChanges reports whether every change of a file shows in its time of change. On tmpfs none does that is made through memory
// (mmap(2)), elsewhere a server, or any user's program, says what time it is, and an overlay may have its files anywhere.
func showsChanges(fd int) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.EROFS_SUPER_MAGIC_V1:
		return true
	}
	return false
}

// readHash hashes all that r has, nil if r does not have exactly that many bytes.
func readHash(ctx context.Context, r io.Reader, size int64, buf []byte) *Hash {
	h, total := sha256.New(), int64(0)
	for {
		began := time.Now()
		n, err := r.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(idleShare * time.Since(began)):
		}
	}

	if total != size {
		return nil
	}
	sum := Hash(h.Sum(nil))
	return &sum
}
