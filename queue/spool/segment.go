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

	live     int    // frames not released
	released []bool // of each frame, by its id

	h     handle // of the one that is written, and of one that waits to be synced
	dirty bool   // written to since the last sync began
	gone  bool   // deleted
}

// addFrame gives a frame of the segment its id.
func (seg *segment) addFrame() (id uint32) {
	seg.live++
	seg.released = append(seg.released, false)
	return uint32(len(seg.released) - 1)
}

// release marks a frame as not needed any more; doing it twice does no harm.
func (seg *segment) release(id uint32) {
	if !seg.released[id] {
		seg.released[id] = true
		seg.live--
	}
}

func segmentName(first uint64, file, salt uint32) string {
	return fmt.Sprintf("%020d.%08x.%08x.seg", first, file, salt)
}

var segmentPattern = regexp.MustCompile(`^([0-9]{20})\.([0-9a-f]{8})\.([0-9a-f]{8})\.seg$`)

// parseName returns the segment of a file name, nil when the name is no segment's.
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
