package spool

import (
	"fmt"
	"regexp"
	"strconv"
)

// segment is one file of the log.
type segment struct {
	name       string
	first      uint64
	file, salt uint32
	size       int64 // of the file; of the one that is written, where it ends
	skipped    int64 // bytes in it that were no frame
	clean      bool  // ended with an end mark
	keep       bool  // could not be read: it stays until the next start

	live     int      // frames not released
	released []uint64 // a bit for each frame id
	ids      uint32   // given out

	h     handle // of the one that is written, and of one that waits to be synced
	dirty bool   // written to since the last sync began
	gone  bool   // deleted
}

// addFrame gives a frame of the segment its id.
func (seg *segment) addFrame() (id uint32) {
	id = seg.ids
	seg.ids++
	seg.live++
	if int(id/64) == len(seg.released) {
		seg.released = append(seg.released, 0)
	}
	return id
}

// release marks a frame as not needed any more; doing it twice does no harm.
func (seg *segment) release(id uint32) {
	word, bit := &seg.released[id/64], uint64(1)<<(id%64)
	if *word&bit == 0 {
		*word |= bit
		seg.live--
	}
}

func segmentName(first uint64, file, salt uint32) string {
	return fmt.Sprintf("%020d.%08x.%08x.seg", first, file, salt)
}

var segmentPattern = regexp.MustCompile(`^([0-9]{20})\.([0-9a-f]{8})\.([0-9a-f]{8})\.seg$`)

// parseName returns the segment of a file name, nil when it is none's.
func parseName(name string) *segment {
	m := segmentPattern.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	first, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		return nil
	}
	file, _ := strconv.ParseUint(m[2], 16, 32) // the pattern lets nothing else through
	salt, _ := strconv.ParseUint(m[3], 16, 32)
	return &segment{name: name, first: first, file: uint32(file), salt: uint32(salt)}
}
