package integrity

// endCache remembers of each type with which field the last whole record ended:
// most end so again, and comparing is quicker than looking what may stand there.
// It is a little less than exact: where the interpreted fields of one type
// differ, an end at one that is the last in other records does not show.
type endCache [64]ending

type ending struct {
	typ  uint32
	n    uint8 // 0: none
	text [27]byte
}

// same reports whether body, of that type, ends with the same field. e may be
// nil, which remembers nothing.
func (e *endCache) same(typ uint32, body []byte) bool {
	if e == nil {
		return false
	}
	x := &e[typ%uint32(len(e))]
	n := int(x.n)
	return x.typ == typ && n > 0 && n < len(body) && string(body[len(body)-n:]) == string(x.text[:n])
}

// keep remembers the last field of a whole record, with the blank before it.
func (e *endCache) keep(typ uint32, body []byte) {
	if e == nil {
		return
	}
	x := &e[typ%uint32(len(e))]
	x.typ, x.n = typ, 0
	at := lastBlank(body)
	if at >= 0 && len(body)-at <= len(x.text) {
		x.n = uint8(copy(x.text[:], body[at:]))
	}
}
