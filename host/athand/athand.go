// Package athand notes which events a worker works on, in memory that outlives it, so that its monitor sees over which of
// them it has died.
//
// A panic is caught where it happens, and costs an event its shape. A stack that overflows, memory that runs out or a fault of the
// runtime ends the process, and the event that did it comes again, from audit.log or a spool. So whatever reads more of an event
// than its header holds the event's id in a Slot meanwhile. The memory is a file without a name that both processes have; when a worker
// has died the monitor reads it, and an event that two have died over is given to the next ones as poison: they pass its records on
// as they are.
package athand

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// ErrPoison is why an event is not read.
var ErrPoison = errors.New("it has ended the process twice")

// ID says which event it is.
type ID struct {
	Millis int64  `json:"millis"`
	Serial uint32 `json:"serial"`
	Sum    uint32 `json:"sum"` // CRC-32C of its node's name, 0 without; of a record without an id, that of its text
}

// String returns the id as records have it.
func (id ID) String() string {
	return fmt.Sprintf("%d.%03d:%d", id.Millis/1000, id.Millis%1000, id.Serial)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// idOf returns the id of record i's event.
func idOf(b *record.Batch, i int) ID {
	r := &b.Recs[i]
	if !r.HasID() {
		return ID{Sum: crc32.Checksum(b.Bytes(i), castagnoli)}
	}
	id := ID{Millis: r.Millis, Serial: r.Serial}
	if r.NodeLen > 0 {
		id.Sum = crc32.Checksum(b.Node(i), castagnoli)
	}
	return id
}

// The memory is slots of a cache line each: whether there is an event, its time, and its serial and sum.
const (
	slots = 64
	words = 8
	size  = slots * words * 8
)

// Page is the memory as the worker has it. A nil one notes nothing. It may be used from any goroutine.
type Page struct {
	memory *[slots][words]uint64
	free   atomic.Uint64 // a bit for each slot
	poison []ID
}

// Map maps the memory that fd, which it closes, is open for. It stays mapped until the process ends. poison are the events that
// are not to be read.
func Map(fd int, poison []ID) (*Page, error) {
	defer unix.Close(fd)
	memory, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory for events at hand: %w", err)
	}
	p := &Page{memory: (*[slots][words]uint64)(unsafe.Pointer(&memory[0])), poison: poison}
	p.free.Store(1<<slots - 1)
	return p, nil
}

// Slot is where one goroutine notes the event that it works on. The zero value notes nothing.
type Slot struct {
	page *Page
	at   *[words]uint64 // nil: all are taken
	bit  uint64
}

// Take takes a slot for some work on events, until Give. It does not wait: without a free one the work is not noted.
func (p *Page) Take() Slot {
	if p == nil {
		return Slot{}
	}
	for {
		free := p.free.Load()
		bit := free & -free
		if bit == 0 {
			return Slot{page: p}
		}
		if p.free.CompareAndSwap(free, free&^bit) {
			return Slot{p, &p.memory[bits.TrailingZeros64(bit)], bit}
		}
	}
}

// Hold notes that work on the event of record i begins, and that on the one before has ended. It reports whether the event is
// poison: then no more than its header is to be read.
func (s Slot) Hold(b *record.Batch, i int) (poison bool) { return s.page != nil && s.hold(b, i) }

// hold makes plain stores: who reads them does so after the process has ended.
func (s Slot) hold(b *record.Batch, i int) bool {
	id := idOf(b, i)
	if s.at != nil {
		s.at[1], s.at[2] = uint64(id.Millis), uint64(id.Serial)|uint64(id.Sum)<<32
		s.at[0] = 1
	}
	return slices.Contains(s.page.poison, id)
}

// Clear notes that no event is worked on.
func (s Slot) Clear() {
	if s.at != nil {
		s.at[0] = 0
	}
}

// Give gives the slot back. It is not to be used then.
func (s Slot) Give() {
	if s.at != nil {
		s.at[0] = 0
		s.page.free.Or(s.bit)
	}
}
