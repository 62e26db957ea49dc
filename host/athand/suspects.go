package athand

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// NewFile returns the memory for the workers of one monitor, one after the other, which the caller owns. Nobody can change its size.
func NewFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("audisp-relay-at-hand", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err == nil {
		if err = unix.Ftruncate(fd, size); err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("memory for events at hand: %w", err)
	}
	return os.NewFile(uintptr(fd), "events at hand"), nil
}

// Duplicate returns another descriptor of f, which the caller owns. f may be closed meanwhile.
func Duplicate(f *os.File) (fd int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = conn.Control(func(from uintptr) { fd, failed = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = failed
	}
	return fd, err
}

// Collect returns the events that a worker which has died had at hand, each once, and clears the memory for the next one. A
// worker that was taken over can have written anything: that is ids, too, of which there are never more than slots.
func Collect(f *os.File) (ids []ID) {
	var memory, none [size]byte
	if _, err := f.ReadAt(memory[:], 0); err != nil {
		return nil
	}
	_, _ = f.WriteAt(none[:], 0) // what is left is noted twice at worst
	word := func(slot, n int) uint64 { return binary.NativeEndian.Uint64(memory[(slot*words+n)*8:]) }
	for k := range slots {
		id := ID{Millis: int64(word(k, 1)), Serial: uint32(word(k, 2)), Sum: uint32(word(k, 2) >> 32)}
		if word(k, 0) != 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Bounds of what is remembered.
const (
	maxSuspects = 64
	suspectTime = 24 * time.Hour
)

// Suspects are the events that workers had at hand when they died: at most maxSuspects, each for suspectTime. All that one had at
// hand are suspects, and few are so twice. The zero value has none. One goroutine uses it.
type Suspects struct{ list []suspect } // the one that was at hand last is the last

type suspect struct {
	id     ID
	deaths int
	last   time.Time
}

// Note notes what one worker had at hand, and returns what has become poison with that.
func (s *Suspects) Note(ids []ID, now time.Time) (poison []ID) {
	s.list = slices.DeleteFunc(s.list, func(x suspect) bool { return now.Sub(x.last) > suspectTime })
	for _, id := range ids {
		x := suspect{id: id}
		if i := slices.IndexFunc(s.list, func(x suspect) bool { return x.id == id }); i >= 0 {
			x = s.list[i]
			s.list = slices.Delete(s.list, i, i+1)
		}
		x.deaths, x.last = x.deaths+1, now
		if x.deaths == 2 {
			poison = append(poison, id)
		}
		s.list = append(s.list, x)
	}

	for len(s.list) > maxSuspects { // neither kind makes the other be forgotten
		many := len(s.list)-len(s.Poison()) > maxSuspects/2
		i := slices.IndexFunc(s.list, func(x suspect) bool { return x.isPoison() != many })
		s.list = slices.Delete(s.list, i, i+1)
	}
	return poison
}

// Poison returns the events that two workers have died over.
func (s *Suspects) Poison() (ids []ID) {
	for _, x := range s.list {
		if x.isPoison() {
			ids = append(ids, x.id)
		}
	}
	return ids
}

func (x *suspect) isPoison() bool { return x.deaths >= 2 }
