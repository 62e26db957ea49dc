package program

import "testing"

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		stat  string
		state byte
		pgrp  int
		ok    bool
	}{
		{"12 (sh) S 1 12 12 0 -1 4194304", 'S', 12, true},
		{"12 (a) b) (c) Z 1 77 12 0", 'Z', 77, true},
		{"12 (x\n) R 1 -1 0", 'R', -1, true},
		{"12 (sh) S 1", 0, 0, false},
		{"12 (sh) Sx 1 2", 0, 0, false},
		{"12 (sh) S 1 x", 'S', 0, false},
		{"", 0, 0, false},
		{"12 sh S 1 12", 0, 0, false},
	} {
		state, pgrp, ok := parseStat([]byte(tt.stat))
		if state != tt.state || pgrp != tt.pgrp || ok != tt.ok {
			t.Errorf("%q: %c %d %v", tt.stat, state, pgrp, ok)
		}
	}
}
