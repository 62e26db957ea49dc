package queue

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func number(dst []byte, n uint64) []byte { return fmt.Appendf(dst, "op=relay-checkpoint seq=%d", n) }

// A checkpoint comes after what was taken before it, says how much that is, and counts in no sum.
func TestACheckpointComesInItsPlace(t *testing.T) {
	q := New(Options{Config: marked(100), Name: "box", Key: []byte("key"), Position: Position{Number: 40}})
	defer q.Close()
	c := q.Cursor()
	defer c.Close()
	q.Put(events(1, 2, 1))
	if !q.PutCheckpoint(false, number) {
		t.Fatal("no checkpoint")
	}
	q.Put(events(3, 1, 1))
	lines := strings.Split(strings.TrimSpace(drain(t, c)), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[2], "type=DAEMON_CONFIG msg=audit(") || !strings.Contains(lines[2], "): op=relay-checkpoint seq=42 mac=") {
		t.Fatalf("%q", lines)
	}
	text, mac, _ := strings.Cut(lines[2], " mac=")
	if !bytes.Equal(MAC([]byte("key"), []byte(text)), []byte(mac)) {
		t.Errorf("the signature of %q is wrong", lines[2])
	}
	if n := balance(t, q); n.Received != 3 || n.Delivered != 3 || n.Markers != 0 || q.Position().Number != 44 {
		t.Errorf("%+v, %+v", n, q.Position())
	}
}

// A sink that delivers nothing has one checkpoint in its queue, and none that takes the room of
// records.
func TestCheckpointsTakeNoRoom(t *testing.T) {
	q := New(Options{Config: marked(3), Name: "box"})
	defer q.Close()
	c := q.Cursor()
	defer c.Close()
	if !q.PutCheckpoint(false, number) || q.PutCheckpoint(false, number) {
		t.Error("not one checkpoint exactly")
	}
	if !q.PutCheckpoint(true, number) {
		t.Error("the last one was refused for the one before")
	}
	q.Put(events(1, 1, 1))
	if q.PutCheckpoint(true, number) {
		t.Error("a queue that is full took one")
	}
	if got := strings.Count(drain(t, c), "op=relay-checkpoint"); got != 2 {
		t.Errorf("%d checkpoints", got)
	}
	if !q.PutCheckpoint(false, number) {
		t.Error("none after all was delivered")
	}
	q.Close()
	if q.PutCheckpoint(true, number) {
		t.Error("a closed queue took one")
	}
}

// Without a reader a queue that discards takes none, and the pieces of a line are not parted.
func TestNoCheckpointWhereItDoesNotBelong(t *testing.T) {
	q := New(Options{Config: Config{Depth: 10, Bytes: 1 << 20, Markers: true}, Name: "box"})
	defer q.Close()
	if q.PutCheckpoint(false, number) {
		t.Error("taken without a reader")
	}
}
