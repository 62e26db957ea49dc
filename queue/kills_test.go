package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"audisp-relay/audit/record"
)

// killedRelay is a queue under a relay that is killed again and again: audit.log has the
// records 1 to end, the stream lacks some of them, and the relay gives them late or not at all.
type killedRelay struct {
	t    *testing.T
	rnd  *rand.Rand
	disk *memDisk
	end  uint32 // of audit.log

	q        *Queue
	doubt    time.Time
	missing  []uint32 // since then
	had      map[uint32]int
	position Position // as saved last
	floor    *Position
}

// run begins a run and gives what audit.log has of before. It reports false where the run
// is killed meanwhile.
func (k *killedRelay) run() bool {
	k.q = start(Options{Config: spooled(20 << k.rnd.IntN(5)), Name: "box", Position: k.position, Floor: k.floor}, k.disk)
	k.doubt, k.missing = time.Time{}, nil
	began := time.Now()
	for serial := k.q.ResumeAt().ID.Serial + 1; serial <= k.end; serial++ {
		if k.rnd.IntN(100) == 0 {
			return false
		}
		k.step()
		k.q.Put(events(int(serial), 1, 1))
	}
	k.doubt = began // until the log is read once more
	return true
}

// give gives one more record of the stream, or leaves it out for now.
func (k *killedRelay) give() {
	k.step()
	k.end++
	if k.rnd.IntN(10) == 0 {
		if k.missing = append(k.missing, k.end); k.doubt.IsZero() {
			k.doubt = time.Now()
			k.step() // what the tracker has seen is saved, too, and says the same
		}
		return
	}
	k.q.Mark(time.Now())
	k.q.Put(events(int(k.end), 1, 1))
	if k.rnd.IntN(30) == 0 {
		k.mend()
	}
}

// mend gives what the stream lacked.
func (k *killedRelay) mend() {
	for _, serial := range k.missing {
		b := events(int(serial), 1, 1)
		b.Recs[0].Flags |= record.FromLog | record.Late
		k.q.Hold(k.doubt)
		k.q.Mark(time.Now())
		k.q.Put(b)
		k.q.Unhold()
	}
	k.doubt, k.missing = time.Time{}, nil
}

// step lets time pass, and the position be saved in some of these moments.
func (k *killedRelay) step() {
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	k.position = k.q.Position()
	k.floor = k.q.Floor(k.doubt)
}

// deliver delivers up to n records.
func (k *killedRelay) deliver(n int) {
	c := k.q.Cursor()
	defer c.Close()
	for n > 0 {
		b, err := c.Take()
		k.q.mu.Lock()
		atEnd := c.pos == k.q.tail
		k.q.mu.Unlock()
		if err != nil || atEnd {
			return
		}
		if len(b.Recs) == 0 {
			<-c.Ready()
			continue
		}
		m := min(n, len(b.Recs))
		for i := range m {
			k.had[b.Recs[i].Serial]++
		}
		c.Advance(m)
		n -= m
	}
}

// kill ends the run as SIGKILL does: what is on disk stays.
func (k *killedRelay) kill() {
	synctest.Wait()
	k.disk = k.disk.reopened()
	k.q.Shutdown()
}

// TestKillsNeitherLoseNorRepeatAll: whatever is killed when, every record reaches the consumer,
// and each kill repeats what was in doubt then, not all that has come since the first doubt.
func TestKillsNeitherLoseNorRepeatAll(t *testing.T) {
	for seed := range uint64(100) {
		for _, away := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/%v", seed, away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { killsOf(t, seed, away) })
			})
		}
	}
}

func killsOf(t *testing.T, seed uint64, away bool) {
	k := &killedRelay{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), disk: newMemDisk(1 << 30), had: make(map[uint32]int), position: Position{HasID: true, ID: record.ID{Millis: 1000}}}
	const kills, perRun = 20, 100
	for range kills {
		if k.run() {
			for range k.rnd.IntN(perRun) {
				k.give()
				if !away && k.rnd.IntN(20) == 0 {
					k.deliver(k.rnd.IntN(60))
				}
			}
		}
		k.kill()
	}

	for !k.run() {
		k.kill()
	}
	k.deliver(1 << 30)
	defer k.q.Shutdown()
	twice := 0
	for serial := uint32(1); serial <= k.end; serial++ {
		if k.had[serial] == 0 {
			t.Errorf("record %d is missing", serial)
		}
		twice += max(0, k.had[serial]-1)
	}
	if most := kills * perRun; twice > most {
		t.Errorf("%d of %d records came twice or more, want %d at most", twice, k.end, most)
	}
}
