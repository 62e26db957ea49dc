package program

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/format"
	"audisp-relay/sinks"
	"audisp-relay/sinks/sinktest"
)

// TestConformance: children get every record, whole and in order, none twice.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	sinktest.Run(t, sinktest.Target{
		Formats: []format.Format{format.String, format.Binary},
		Place:   place,
	})
}

func place(t *testing.T) sinktest.Place {
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	install := func() {
		if err := os.Symlink(self(t), prog); err != nil {
			t.Fatal(err)
		}
	}
	install()
	var s *sink
	pid := func() int {
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if pid := s.Status().Details.(*Details).Pid; pid != 0 {
				return pid
			}
		}
		t.Fatal("no child")
		return 0
	}
	stopped := 0
	return sinktest.Place{
		New: func(enc format.Encoder) sinks.Sink {
			s = newSink(settings(prog, 100, helperArg, "collect", dir), enc, zap.NewNop())
			hurry(s)
			s.w.eofGrace = 4 * time.Second // this machine may be busy
			return s
		},
		Read: func() []byte { return collected(dir) },
		Break: func() {
			if err := os.Remove(prog); err != nil {
				t.Fatal(err)
			}
			if s != nil {
				unix.Kill(pid(), unix.SIGKILL)
			}
		},
		Repair: install,
		Stall:  func() { stopped = pid(); unix.Kill(stopped, unix.SIGSTOP) },
		Resume: func() { unix.Kill(stopped, unix.SIGCONT) },
	}
}
