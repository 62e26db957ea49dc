//go:build !race

package event

const sparse = 1
