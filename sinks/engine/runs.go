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
// put the same there. The error says that this run cannot be kept: then the next one may send
// records twice.
func (j *journal) noteRun(begin, at uint64) (begins []uint64, err error) {
	path := filepath.Join(j.dir, "runs")
	data, _ := state.ReadFile(path) // none of the first run; a damaged one costs repetitions only
	for ; len(data) >= 8; data = data[8:] {
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
	return begins, state.ReplaceFile(path, data, 0o600)
}
