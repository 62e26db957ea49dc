package file

import (
	"cmp"
	"sync"

	"audisp-relay/sinks"
)

// syncer syncs files in a goroutine of its own, so that a slow disk holds up the sync of the next second, not the
// queue. The writer owns it.
type syncer struct {
	fs   fileSystem
	jobs chan syncJob // nil until there is one
	done chan struct{}

	mu     sync.Mutex // guards all below
	err    error
	synced bool // a file was
}

type syncJob struct {
	f     handle
	close bool
}

// offer asks for f to be synced unless the one before is still waiting for it.
func (s *syncer) offer(f handle) bool {
	s.start()
	select {
	case s.jobs <- syncJob{f: f}:
		return true
	default:
		return false
	}
}

// retire has f synced and closed. It waits while two more files wait for that.
func (s *syncer) retire(f handle) {
	s.start()
	s.jobs <- syncJob{f: f, close: true}
}

func (s *syncer) start() {
	if s.jobs == nil {
		s.jobs, s.done = make(chan syncJob, 2), make(chan struct{})
		go s.run(s.jobs)
	}
}

func (s *syncer) run(jobs <-chan syncJob) {
	defer close(s.done)
	for j := range jobs {
		err := sinks.Guard(func() error {
			err := j.f.Sync()
			if j.close {
				err = cmp.Or(err, j.f.Close())
			}
			return err
		})
		s.mu.Lock()
		s.err, s.synced = cmp.Or(err, s.err), s.synced || err == nil
		s.mu.Unlock()
	}
}

// outcome returns what went wrong since it was called last, and whether a file was synced meanwhile.
func (s *syncer) outcome() (synced bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	synced, err = s.synced, s.err
	s.synced, s.err = false, nil
	return synced, err
}

// close waits until all is done.
func (s *syncer) close() {
	if s.jobs == nil {
		return
	}
	close(s.jobs)
	<-s.done
	s.jobs = nil
}
