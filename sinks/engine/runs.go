package engine

import (
	"encoding/binary"
	"path/filepath"
	"slices"

	"audisp-relay/state"
)

// maxRuns bounds how many runs are known that have left something in one spool: of a plugin that
// is killed again and again while the engine is away.
const maxRuns = 256

// noteRun keeps that this run's queue begins with the record of number begin, and returns the
// beginnings of this run and of the earlier ones, in order, that are after the record of number
// at, where the queue stands. A run puts what audit.log gives it into the spool, and the next one may
// put the same there. What cannot be kept is not known: then records come twice.
func (j *journal) noteRun(begin, at uint64) (begins []uint64) {
	path := filepath.Join(j.dir, "runs")
	data, err := state.ReadFile(path)
	for ; err == nil && len(data) >= 8; data = data[8:] {
		begins = append(begins, binary.BigEndian.Uint64(data))
	}
	begins = append(begins, begin)
	slices.Sort(begins) // the file may be damaged
	begins = slices.DeleteFunc(slices.Compact(begins), func(n uint64) bool { return n <= at || n > begin })
	if len(begins) > maxRuns {
		begins = begins[len(begins)-maxRuns:]
	}
	data = nil
	for _, n := range begins {
		data = binary.BigEndian.AppendUint64(data, n)
	}
	_ = state.ReplaceFile(path, data, 0o600)
	return begins
}
