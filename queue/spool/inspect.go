package spool

import (
	"fmt"

	"audisp-relay/audit/record"
)

// View is what a spool directory holds at one moment, to be looked at only: it takes no
// lock and changes nothing. While a relay uses the directory, frames may come and go, and
// the last one may be seen half written. It is for one goroutine.
type View struct {
	Frames  []Frame  // whose headers are readable, sorted by First
	Damage  Damage   // frames are checked in whole only by Read
	Foreign []string // names in the directory that are not the spool's

	st store
}

// SegmentInfo describes a file of a spool.
type SegmentInfo struct {
	Name    string
	Size    int64
	Frames  int
	Records uint64 // in the frames, pieces of one line counted once
	First   uint64 // number of the first record
	Next    uint64 // number after that of the last record
	Skipped int64  // bytes that are no frame
	Ended   bool   // it has the mark of a run that ended properly
}

// Inspect looks at the spool in dir. The View has to be closed.
func Inspect(dir string) (*View, error) {
	v := &View{st: store{fs: osFS{}, dir: dir}}
	if err := v.st.scan(); err != nil {
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	v.Frames, v.Damage, v.Foreign = v.st.frames, v.st.damage, v.st.foreign
	return v, nil
}

// Segments lists the files in the order they were made.
func (v *View) Segments() []SegmentInfo {
	index := make(map[*segment]int)
	var list []SegmentInfo
	for i, seg := range v.st.segs {
		index[seg] = i
		list = append(list, SegmentInfo{
			Name: seg.name, Size: seg.size, First: seg.first, Next: seg.first, Skipped: seg.skipped, Ended: seg.clean,
		})
	}

	for _, f := range v.st.frames {
		s := &list[index[f.seg]]
		if s.Frames == 0 {
			s.First = f.First
		}
		s.Frames++
		s.Records += uint64(f.Whole)
		s.Next = f.end()
	}
	return list
}

// Place says where a frame is: the file's name and the offset in it.
func (v *View) Place(f Frame) (file string, off int64) { return f.seg.name, int64(f.off) }

// Read reads a frame, as Spool.Read.
func (v *View) Read(f Frame, buf []byte, recs []record.Record) (record.Batch, error) {
	return v.st.read(f, buf, recs)
}

// Close ends the look.
func (v *View) Close() { v.st.closeReader() }
