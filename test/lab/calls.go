package lab

import (
	"slices"
	"sync"
)

// Calls makes calls of a file system fail, and counts them. The zero value lets all work. Any goroutine may use it.
type Calls struct {
	mu    sync.Mutex // guards all below
	fault func(op, path string) error
	made  map[string]int // of each operation
}

// Set has fault say of each call what it fails with, nil if it works. A fault of nil lets all work again.
func (c *Calls) Set(fault func(op, path string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// Wait lets a fault wait for something while other calls go on: it holds their lock otherwise.
func (c *Calls) Wait(wait func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	wait()
}

// Fail makes calls of these operations fail with err, and lets all others work.
func (c *Calls) Fail(err error, ops ...string) {
	c.Set(func(op, _ string) error {
		if slices.Contains(ops, op) {
			return err
		}
		return nil
	})
}

// Check counts a call, and returns what it fails with.
func (c *Calls) Check(op, path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = make(map[string]int)
	}
	c.made[op]++
	if c.fault == nil {
		return nil
	}
	return c.fault(op, path)
}

// Count returns how many calls of an operation were made.
func (c *Calls) Count(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[op]
}
