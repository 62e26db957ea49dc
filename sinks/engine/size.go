package engine

import "time"

// Bounds of a batch, in bytes of records before they are compressed.
const (
	minBatch = 64 << 10
	maxBatch = 256 << 10
)

// fastAck is how long an engine takes for a batch of minBatch where nothing waits for a disk.
const fastAck = 2 * time.Millisecond

// sizer says how large batches are to be. With one in flight what an engine carries in a second
// is the size of a batch times the acknowledgements in that second: where these take long,
// because each waits for the disks of several machines, batches are larger.
type sizer struct {
	ack time.Duration // mean of the last ones, the latest weighted with an eighth
}

func (s *sizer) note(took time.Duration) {
	if s.ack == 0 {
		s.ack = took
	}
	s.ack += (took - s.ack) / 8
}

// size returns how many bytes of records a batch is to have.
func (s *sizer) size() int {
	return int(min(max(minBatch*int64(s.ack)/int64(fastAck), minBatch), maxBatch))
}
