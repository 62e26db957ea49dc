package record

import "bytes"

// Scanner goes through the fields of a record's body, "key=value" with a blank
// between. The zero Scanner has no fields. Gap, Key, "=" and Value of all fields and
// the Gap after the last are the body, byte for byte.
type Scanner struct {
	text []byte
	at   int // what comes next
	// Gap is what stands before the field and belongs to none: "" before the first
	// and " " before the others of a regular record; "avc:  denied  { read } for  " of
	// an AVC. At the end it is what follows the last field.
	Gap []byte
	Key []byte
	// Value is the token as it stands: with its quotes, '...' and "..." in one piece,
	// blanks and all. A quote that does not end is part of a bare token; but msg=', which a
	// program's text begins with, extends to the end of a record that was cut. Of table= at the
	// beginning it is all up to the last family=, see tableEnd.
	Value []byte
	// unquoted: no ' that ends a field is after at, so that a body full of opening
	// ones costs one search and not one each.
	unquoted bool
}

// Scan returns a Scanner of body. Where it matters, make it before the loop,
//
//	s := record.Scan(body)
//	for s.Next() {
//
// since a variable of the for statement is a new one, and copied, in each turn.
func Scan(body []byte) Scanner { return Scanner{text: body} }

// Next goes to the next field. It reports false, with Gap set, when there is none.
func (s *Scanner) Next() bool {
	text, gap := s.text, s.at
	key := gap
	if (gap > 0 && gap < len(text)) || (gap == 0 && len(text) > 0 && text[0] == ' ') {
		key++ // a value ends before a blank: to look would be to wait for it
	}
	equal := keyEnd(text, key)
	if equal == key {
		if key, equal = nextKey(text, key); equal == key {
			s.Gap, s.Key, s.Value, s.at = text[gap:], nil, nil, len(text)
			return false
		}
	}

	end := equal + 1
	switch {
	case key == 0 && equal == len(table) && string(text[:equal]) == table:
		end = tableEnd(text, end)
	case end < len(text) && (text[end] == '"' || text[end] == '\''):
		end = s.quotedEnd(text, end, string(text[key:equal]) == "msg")
	default:
		end = find(text, end, ' ')
	}
	s.Gap, s.Key, s.Value, s.at = text[gap:key], text[key:equal], text[equal+1:end], end
	return true
}

// table is the first field of a NETFILTER_CFG record.
const table = "table"

// tableEnd returns the end of the value of table= that begins at text[from]. Any user may choose the name of a table of nftables, in a
// network namespace of their own, and the kernel writes it as it is: with blanks, quotes and whatever looks like fields. After it
// stand " family=", two numbers and words of the kernel's, and no text of a user that is not in hex if it has a blank
// (kernel/auditsc.c, __audit_log_nfcfg).
func tableEnd(text []byte, from int) int {
	if k := bytes.LastIndex(text[from:], []byte(" family=")); k >= 0 {
		return from + k
	}
	return ValueEnd(text, from)
}

// nextKey looks for the next word that is a key, where none is at from. It returns
// where it is and its '='; both are the same when there is none.
func nextKey(text []byte, from int) (key, equal int) {
	for {
		k := bytes.IndexByte(text[from:], ' ')
		if k < 0 {
			return from, from
		}
		for from += k; from < len(text) && text[from] == ' '; from++ {
		}
		if equal := keyEnd(text, from); equal > from {
			return from, equal
		}
	}
}

// quotedEnd returns the end of the value that begins with a quote at text[from]; last says
// that it is a program's text.
func (s *Scanner) quotedEnd(text []byte, from int, last bool) int {
	if text[from] == '"' {
		return ValueEnd(text, from)
	}
	if !s.unquoted {
		if n := singleQuoted(text[from:], last); n > 0 {
			return from + n
		}
		s.unquoted = true
	}
	if last {
		return len(text)
	}
	return find(text, from, ' ')
}

// ValueEnd returns the end of the value at text[from] that is not in single quotes.
func ValueEnd(text []byte, from int) int {
	if from < len(text) && text[from] == '"' {
		// The kernel writes a text that has a quote or a blank in it in hex.
		if end := find(text, from+1, '"') + 1; end <= len(text) && ends(text, end) {
			return end
		}
	}
	return find(text, from, ' ')
}

// singleQuoted returns the length of the '...' that text begins with, 0 when none ends. A
// program's text, msg='...', may have quotes in it and is the record's last field: its end
// is the last quote before a blank or the end. Others, such as device mapper's
// error_msg='...', end at the first.
func singleQuoted(text []byte, last bool) int {
	if !last {
		for i := 1; i < len(text); i++ {
			if text[i] == '\'' && ends(text, i+1) {
				return i + 1
			}
		}
		return 0
	}
	for i := len(text) - 1; i > 0; i-- {
		if text[i] == '\'' && ends(text, i+1) {
			return i + 1
		}
	}
	return 0
}

// ends reports whether a field may end before text[i].
func ends(text []byte, i int) bool { return i == len(text) || text[i] == ' ' }
