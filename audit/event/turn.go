package event

// Turn returns how many records were added so far.
func (a *Assembler) Turn() uint64 { return a.turn }

// Given reports whether all events are given that have one of the first records,
// counted by Turn.
func (a *Assembler) Given(turn uint64) bool {
	return a.all.head == nil || a.all.head.first >= turn
}
