package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/sinks/engine"
	servers "audisp-relay/test/engine"
)

// latencySpan is how long events come in one run of BenchmarkLatency.
const latencySpan = 5 * time.Second

// BenchmarkLatency measures how long a record takes from the moment when it is written to the
// relay's stdin, one by one at an even rate, as auditd does, to the acknowledgement of its batch by
// a cluster of three servers that sync each message. It is what an intruder has to remove a record.
func BenchmarkLatency(b *testing.B) {
	for _, rate := range []int{500, 5000, 16000} {
		b.Run(fmt.Sprint(rate, " events per s"), func(b *testing.B) {
			cluster := servers.StartNATS(b, 3, "")
			servers.NewAdmin(b, cluster.URLs()).Make(servers.Records(3))
			c, host := testConfig(cluster.URLs()...), newHostID()
			c.Gather = defaultGather
			cfg := config.Sink{Name: "fleet", Format: "string", Settings: c, StateDir: b.TempDir()}
			l := &timedRecords{place: newPlace(c, host, zap.NewNop()), begin: time.Now(),
				made: make([]atomic.Int64, 5*rate*b.N*int(latencySpan/time.Second))}
			q := queue.New(queue.Options{Config: queue.Config{Depth: 1 << 20, Bytes: 64 << 20, Lossless: true, Hold: true}})
			defer q.Shutdown()
			s := engine.New(options(cfg, format.Encoder{}, host, zap.NewNop()), l)
			stop := runSink(s, q)
			defer stop()
			for l.connections.Counts().Connects == 0 {
				time.Sleep(time.Millisecond)
			}
			b.ResetTimer()
			l.feed(b, q, rate)
			for q.Counts().Queued > 0 {
				time.Sleep(time.Millisecond)
			}
			l.report(b, s.Counts())
		})
	}
}

// timedRecords is a place that notes how long each record took: element i is of the one with
// number i+1, in nanoseconds since begin until it is acknowledged.
type timedRecords struct {
	*place
	begin time.Time
	made  []atomic.Int64
	took  []time.Duration // of the sink's goroutine, then of the one that has waited for it
}

// Send implements engine.Place.
func (l *timedRecords) Send(ctx context.Context, b *engine.Batch) error {
	err := l.place.Send(ctx, b)
	now := time.Since(l.begin)
	for n := b.Header.Seq; err == nil && n < b.Header.Next(); n++ {
		l.took = append(l.took, now-time.Duration(l.made[n-1].Load()))
	}
	return err
}

// feed writes events into a socket such as auditd has, and has a reader put them into q.
func (l *timedRecords) feed(b *testing.B, q *queue.Queue, rate int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	in := os.NewFile(uintptr(fds[0]), "stdin")
	defer in.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer unix.Close(fds[1])
		if err := l.write(fds[1], rate); err != nil {
			b.Error(err)
		}
	})
	r := stream.NewLiveReader(in, 208<<10)
	var batch record.Batch
	for err = r.Next(&batch); err == nil; err = r.Next(&batch) {
		if len(batch.Recs) > 0 {
			q.Put(&batch)
		}
	}
	if !errors.Is(err, io.EOF) {
		b.Error(err)
	}
	wg.Wait()
}

// write writes the events, each record by itself.
func (l *timedRecords) write(fd, rate int) error {
	runtime.LockOSThread() // for the slack of its timers, which is a thread's own
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	records := [][2]string{
		{"SYSCALL", `arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd5a0e3f90 a2=0 a3=0 items=1 ppid=1 pid=4711 auid=1000 uid=0 gid=0 euid=0 ` +
			`suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=3 comm="opener" exe="/usr/bin/opener" subj=unconfined key="load"` +
			"\x1dARCH=x86_64 SYSCALL=openat AUID=\"user\" UID=\"root\" GID=\"root\" EUID=\"root\" SUID=\"root\" FSUID=\"root\" EGID=\"root\" SGID=\"root\" FSGID=\"root\""},
		{"CWD", `cwd="/root"`},
		{"PATH", `item=0 name="/tmp/load/f000017" inode=1234 dev=00:2a mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 ` +
			"cap_frootid=0\x1dOUID=\"root\" OGID=\"root\""},
		{"PROCTITLE", "proctitle=6F70656E6572"},
		{"EOE", ""},
	}
	first := time.Now()
	var line []byte
	for i := range len(l.made) / len(records) {
		if ahead := time.Until(first.Add(time.Duration(i) * time.Second / time.Duration(rate))); ahead > 50*time.Microsecond {
			pause := unix.NsecToTimespec(int64(ahead))
			_ = unix.Nanosleep(&pause, nil) // a signal that ends it early makes one event early
		}
		now := time.Now()
		for k, r := range records {
			line = fmt.Appendf(line[:0], "type=%s msg=audit(%d.%03d:%d): %s\n", r[0], now.Unix(), now.Nanosecond()/1e6, i+1, r[1])
			l.made[i*len(records)+k].Store(int64(time.Since(l.begin)))
			if _, err := unix.Write(fd, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// report says how long records took, and what it cost in messages.
func (l *timedRecords) report(b *testing.B, c engine.Counts) {
	if len(l.took) != len(l.made) {
		b.Fatalf("%d records were acknowledged, want %d", len(l.took), len(l.made))
	}
	slices.Sort(l.took)
	for name, share := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99, "max-ms": 1} {
		took := l.took[min(int(share*float64(len(l.took))), len(l.took)-1)]
		b.ReportMetric(float64(took.Microseconds())/1000, name)
	}
	b.ReportMetric(float64(c.Batches)/b.Elapsed().Seconds(), "batches/s")
	b.ReportMetric(float64(c.Bytes)/float64(len(l.took)), "B/record")
	b.ReportMetric(float64(c.Ack.Microseconds())/1000, "ms/ack")
	b.ReportMetric(0, "ns/op")
}
