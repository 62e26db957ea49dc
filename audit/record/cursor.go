package record

// Parsed is one record, cut in its parts. They are slices of the batch's buffer.
// After "msg=audit(", its ID and ")" the record's bytes are Gap, Body, Sep, Names and
// Tail, with nothing between. Without an ID the whole record is Body and Tail.
type Parsed struct {
	Type    uint32
	Flags   uint8  // as record.Record's
	Node    []byte // of its node= prefix, empty without
	ID      []byte // "SEC.MS:SERIAL"; empty when the record has no readable id
	Gap     []byte // between the id's parenthesis and Body: ": ", but for odd records
	Body    []byte // the fields. Without an id: the whole line
	Sep     []byte // the Separator, or what is left of one that was lost (FindNames)
	Names   []byte // what ENRICHED has added, after the separator
	Tail    []byte // blanks, NULs and the newline after Body or Names
	Twinned bool   // there is a separator, and Names may be empty
}

// Parse takes record i of b apart.
func Parse(b *Batch, i int) (r Parsed) {
	rec := &b.Recs[i]
	r.Type, r.Flags, r.Node = rec.Type, rec.Flags, b.Node(i)
	text := b.Bytes(i)
	head := b.Header(i)
	r.ID = idIn(head)
	if r.ID == nil {
		r.Body = TrimEnd(text)
		r.Tail = text[len(r.Body):]
		return r
	}

	rest := text[len(head):]
	// The blank of an EOE is a part of the gap, not of the tail: so its gap is the
	// same as that of other records where auditd left the blank there.
	n := 0
	for n < len(rest) && n < 2 && rest[n] == ": "[n] {
		n++
	}
	r.Gap, rest = rest[:n], rest[n:]
	r.Body = TrimEnd(rest)
	r.Tail = rest[len(r.Body):]

	if end, names := FindNames(r.Type, r.Body); names >= 0 {
		r.Body, r.Sep, r.Names, r.Twinned = r.Body[:end], r.Body[end:names], r.Body[names:], true
	}
	return r
}
