//go:build race

package event

// sparse is by how much less a test of one goroutine tries under the race detector, which makes it
// many times slower and has nothing to find in it. What is tried is spread over all of the input.
const sparse = 7
