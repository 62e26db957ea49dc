package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Version is the V of the checkpoints that this package writes and reads.
const Version = 1

// Reasons of a checkpoint.
const (
	ReasonStart = "start" // the relay has started, or the sink was added
	ReasonTick  = "tick"  // it is time
	ReasonEnd   = "end"   // the relay ends in order, or the sink was removed
)

// Bounds of what ParseCheckpoint takes.
const (
	MaxCheckpoint = 16 << 10 // bytes
	maxCauses     = 64
	maxText       = 128 // of a version, a hash, a signature's name
	maxSig        = 1024
)

// Checkpoint is what a host says of one sink at a time: how far it is, and what has become of
// every record. docs/checkpoint.schema.json describes its JSON for others.
type Checkpoint struct {
	V     int    `json:"v"`     // Version
	Host  string `json:"host"`  // machine-id
	Name  string `json:"name"`  // host name
	Boot  string `json:"boot"`  // boot id without dashes
	Epoch string `json:"epoch"` // see NewEpoch
	Sink  string `json:"sink"`  // name in the host's configuration

	N    uint64    `json:"n"`    // number of this checkpoint, from 1: it never comes twice in an epoch
	Time time.Time `json:"time"` // by the host's clock
	// Next is when the next one is due at the latest, by the same clock; with ReasonEnd equal to
	// Time: none is due.
	Next time.Time `json:"next"`

	// Seq is the number of the last record that was delivered: for an engine, that it has
	// acknowledged, so that the next batch has Seq + 1. 0: none. In a stream of records it is how
	// many are before the checkpoint.
	Seq    uint64 `json:"seq"`
	Ledger Ledger `json:"ledger"`
	// Serials are the lowest and highest serial that came to the relay in this run; 0: none.
	Serials    Serials `json:"serials"`
	KernelLost uint64  `json:"kernel_lost"` // what the kernel says it has lost since its boot

	Relay  string `json:"relay"`  // version
	Auditd string `json:"auditd"` // version, "" where it is not known
	Config string `json:"config"` // SHA-256 of the configuration in force, hexadecimal
	Reason string `json:"reason"`

	// Reserved for a chain of hashes and a signature.
	Prev string `json:"prev,omitempty"`
	Hash string `json:"hash,omitempty"`
	Sig  string `json:"sig,omitempty"`
}

// Ledger is what has become of the records, over all runs since the state_dir was new:
// received = filtered + discarded + delivered + queued + the losses of the sink.
type Ledger struct {
	Received  uint64 `json:"received"`
	Filtered  uint64 `json:"filtered"`
	Discarded uint64 `json:"discarded"`
	Delivered uint64 `json:"delivered"`
	Queued    uint64 `json:"queued"`
	// Lost is by cause: those of the sink (queue-full, spool, ...), and those that are no part
	// of the sum: upstream and kernel, which were lost before it, and engine, which were delivered.
	Lost map[string]uint64 `json:"lost,omitempty"`
}

// Serials is a range, both ends included.
type Serials struct {
	First uint32 `json:"first"`
	Last  uint32 `json:"last"`
}

// Append appends the checkpoint as one line of JSON without its newline.
func (c *Checkpoint) Append(to []byte) ([]byte, error) {
	text, err := json.Marshal(c)
	if err == nil && len(text) > MaxCheckpoint {
		err = fmt.Errorf("a checkpoint has %d bytes, at most %d", len(text), MaxCheckpoint)
	}
	if err != nil {
		return to, err
	}
	return append(to, text...), nil
}

// ParseCheckpoint reads a checkpoint of any origin. What it returns has valid ids, bounded
// strings without control characters and times from 1970 to 9999; whether it is true is another
// question. Fields that it does not know are ignored.
func ParseCheckpoint(data []byte) (*Checkpoint, error) {
	if len(data) > MaxCheckpoint {
		return nil, fmt.Errorf("no checkpoint: %d bytes, at most %d", len(data), MaxCheckpoint)
	}
	var c Checkpoint
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("no checkpoint: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("no checkpoint: %w", err)
	}
	return &c, nil
}

// check returns what a checkpoint must not be.
func (c *Checkpoint) check() error {
	switch {
	case c.V != Version:
		return fmt.Errorf("v is %d, must be %d", c.V, Version)
	case !ValidHost(c.Host):
		return fmt.Errorf("host is %.64q, must be a machine-id", c.Host)
	case c.Boot != "" && !isHex(c.Boot, hostLen):
		return fmt.Errorf("boot is %.64q, must be a boot id", c.Boot)
	case !ValidEpoch(c.Epoch):
		return fmt.Errorf("epoch is %.64q, must be 16 hexadecimal digits", c.Epoch)
	case c.Sink == "" || !printable(c.Sink):
		return fmt.Errorf("sink is %.64q", c.Sink)
	case !printable(c.Name):
		return fmt.Errorf("name is %.64q", c.Name)
	case c.N == 0 || c.N >= 1<<63 || c.Seq >= 1<<63:
		return fmt.Errorf("n is %d and seq is %d", c.N, c.Seq)
	case c.Reason != ReasonStart && c.Reason != ReasonTick && c.Reason != ReasonEnd:
		return fmt.Errorf("reason is %.64q, must be start, tick or end", c.Reason)
	case !storable(c.Time) || !storable(c.Next) || c.Next.Before(c.Time):
		return errors.New("time and next are no times in order")
	}
	return c.checkTexts()
}

// checkTexts bounds what is only shown.
func (c *Checkpoint) checkTexts() error {
	for _, s := range []string{c.Relay, c.Auditd, c.Config, c.Prev, c.Hash} {
		if len(s) > maxText || !printable(s) {
			return fmt.Errorf("a field is %.64q", s)
		}
	}
	if len(c.Sig) > maxSig || Clean(c.Sig, maxSig) != c.Sig {
		return fmt.Errorf("sig is %.64q", c.Sig)
	}
	if len(c.Ledger.Lost) > maxCauses {
		return fmt.Errorf("%d causes of losses, at most %d", len(c.Ledger.Lost), maxCauses)
	}
	for cause := range c.Ledger.Lost {
		if cause == "" || !isWord(cause) {
			return fmt.Errorf("a cause of losses is %.64q", cause)
		}
	}
	return nil
}

// storable reports whether a time lies between 1970 and 9999, so that it can be counted and
// written.
func storable(t time.Time) bool { return t.Unix() >= 0 && t.Year() <= 9999 }
