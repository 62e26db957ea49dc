package recovery

import (
	"sort"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/record"
)

// pending are the lines of the log that wait for the stream, in the order of the
// log. Beyond half of Options.MaxHeld the log is not read on: it can wait.
type pending struct {
	runs  []lineRun
	ready uint64 // lines with lower numbers are judged
	size  int
	spare [][]byte
}

// lineRun are consecutive lines of the log, copied.
type lineRun struct {
	record.Batch
	first uint64            // number of the first
	place auditlog.Position // of the first
	size  int               // see sizeOf
	give  giveFunc
}

// giveFunc gives lines, of which the first is at that place in the log, to the consumers that resume after others. Where
// it is nil, lines go to all consumers.
type giveFunc func(b *record.Batch, at auditlog.Position)

// add adds a run, whose records it copies.
func (p *pending) add(run lineRun) {
	var buf []byte
	if k := len(p.spare); k > 0 {
		buf, p.spare = p.spare[k-1][:0], p.spare[:k-1]
	}
	run.Batch = copyRecords(buf, run.Buf, run.Recs)
	run.size = sizeOf(&run.Batch)
	p.runs = append(p.runs, run)
	p.size += run.size
}

// at returns where line n is, nil when it was given.
func (p *pending) at(n uint64) (run *lineRun, i int) {
	if len(p.runs) == 0 || n < p.runs[0].first {
		return nil, 0
	}
	k := 0
	if n-p.runs[0].first >= uint64(len(p.runs[0].Recs)) {
		k = sort.Search(len(p.runs), func(k int) bool { return p.runs[k].first > n }) - 1
	}
	run = &p.runs[k]
	if i = int(n - run.first); i >= len(run.Recs) {
		return nil, 0
	}
	return run, i
}

// dropRun lets go of the first run.
func (p *pending) dropRun() {
	run := p.runs[0]
	p.size -= run.size
	if len(p.spare) < 4 {
		p.spare = append(p.spare, run.Buf)
	}
	p.runs[0] = lineRun{}
	if p.runs = p.runs[1:]; len(p.runs) == 0 {
		p.runs = nil
	}
}
