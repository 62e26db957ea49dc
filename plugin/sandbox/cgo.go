//go:build cgo

package sandbox

// isCgo: C libraries may be in the process.
const isCgo = true
