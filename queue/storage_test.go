package queue

import (
	"os"
	"path/filepath"
	"testing/synctest"

	"pgregory.net/rapid"

	"audisp-relay/queue/spool"
)

// memStorage is a memDisk over several runs.
type memStorage struct {
	d      *memDisk
	killed *memDisk
}

func (s *memStorage) open(t *rapid.T) disk {
	from := s.d
	if s.killed != nil {
		from, s.killed = s.killed, nil
	}
	s.d = from.reopened()
	return s.d
}

func (s *memStorage) kill() { s.killed = s.d.reopened() }

func (s *memStorage) fault(t *rapid.T) {
	s.d.fail(rapid.SampledFrom([]error{nil, nil, errDisk, spool.ErrFull}).Draw(t, "fault"))
	s.d.hangUp(!s.hangs() && rapid.IntRange(0, 3).Draw(t, "hang") == 0)
}

func (s *memStorage) damage(t *rapid.T) {
	if len(s.d.frames) == 0 {
		return
	}
	i := rapid.IntRange(0, len(s.d.frames)-1).Draw(t, "frame")
	if !s.d.busy.Load() {
		s.d.damage(i)
	}
}

func (s *memStorage) check(t *rapid.T) {
	if s.d.misuse != "" {
		t.Fatalf("the disk was %s", s.d.misuse)
	}
}

func (s *memStorage) hangs() bool {
	hang, _ := s.d.faults()
	return hang != nil
}

func (s *memStorage) remove() {}

func (s *memStorage) end() { s.repair() }

func (s *memStorage) repair() {
	s.d.hangUp(false)
	s.d.fail(nil)
	synctest.Wait()
}

// fileStorage is a real spool; a kill is a copy of its directory.
type fileStorage struct {
	dir, killed string
	all         []string
}

func newFileStorage() *fileStorage {
	s := &fileStorage{}
	s.dir = s.fresh()
	return s
}

func (s *fileStorage) fresh() string {
	dir, err := os.MkdirTemp("", "q")
	if err != nil {
		panic(err)
	}
	s.all = append(s.all, dir)
	return dir
}

func (s *fileStorage) open(t *rapid.T) disk {
	if s.killed != "" {
		s.dir, s.killed = s.killed, ""
	}
	sp, err := spool.Open(spool.Options{Dir: s.dir, MaxSize: 1 << 20, SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

func (s *fileStorage) kill() {
	s.killed = s.fresh()
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.seg"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.killed, filepath.Base(f)), data, 0o600)
		}
		if err != nil {
			panic(err)
		}
	}
}

func (s *fileStorage) fault(t *rapid.T) {}

// damage flips a byte somewhere.
func (s *fileStorage) damage(t *rapid.T) {
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.seg"))
	if len(files) == 0 {
		return
	}
	f, err := os.OpenFile(rapid.SampledFrom(files).Draw(t, "file"), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	st, _ := f.Stat()
	if st.Size() == 0 {
		return
	}
	var p [1]byte
	at := rapid.Int64Range(0, st.Size()-1).Draw(t, "at")
	f.ReadAt(p[:], at)
	p[0] ^= 0x10
	f.WriteAt(p[:], at)
}

func (s *fileStorage) check(t *rapid.T) {}

func (s *fileStorage) hangs() bool { return false }

func (s *fileStorage) repair() {}

func (s *fileStorage) end() {
	keep := s.dir
	if s.killed != "" {
		keep = s.killed
	}
	for _, dir := range s.all {
		if dir != keep {
			os.RemoveAll(dir)
		}
	}
	s.all = []string{keep}
}

func (s *fileStorage) remove() {
	for _, dir := range s.all {
		os.RemoveAll(dir)
	}
}
