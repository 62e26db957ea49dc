package filter

import (
	"bytes"
	"iter"
	"strings"

	"audisp-relay/audit/record"
)

var seresultPattern = newPattern("seresult")

// verdict returns what SELinux says in record k: in the words of an AVC or in the text of a
// USER_AVC, else in the field seresult= that some SELINUX_ERR records have.
func (m *Matcher) verdict(k int) (v record.Verdict, ok bool) {
	typ := m.b.Recs[k].Type
	words := record.HasVerdict(typ)
	if !words && typ != record.TypeSELinuxErr && typ != record.TypeUserSELinuxErr {
		return v, false
	}

	var r body
	m.cutRecord(&r, k)
	texts := [2][]byte{r.text, r.msg}
	if words {
		for _, text := range texts {
			if v, ok := inWords(text); ok {
				return v, true
			}
		}
	}
	for _, text := range texts {
		if result := seresultPattern.findInText(text, false); result != nil {
			return record.Verdict{Result: bytes.Trim(result, `"'`)}, true
		}
	}
	return v, false
}

// inWords looks for a verdict in what stands between the fields of a text.
func inWords(text []byte) (v record.Verdict, ok bool) {
	for s, more := record.Scan(text), true; more; {
		more = s.Next()
		if v, ok = record.ReadVerdict(s.Gap); ok {
			return v, true
		}
	}
	return v, false
}

// loadResults loads denied or granted of each record that says it.
func loadResults(m *Matcher, v *value) {
	for k := m.i; k < m.j; k++ {
		if said, ok := m.verdict(k); ok && m.hasRoom(len(v.texts)) {
			v.texts = append(v.texts, record.Alias(said.Result))
		}
	}
}

// permsOf goes through the permissions that a verdict names.
func permsOf(v record.Verdict) iter.Seq[string] {
	return strings.FieldsFuncSeq(record.Alias(v.Perms), func(c rune) bool { return c == ' ' })
}

// loadPerms loads the permissions that all records name.
func loadPerms(m *Matcher, v *value) {
	for k := m.i; k < m.j; k++ {
		said, _ := m.verdict(k)
		for perm := range permsOf(said) {
			if !m.hasRoom(len(v.texts)) {
				return
			}
			v.texts = append(v.texts, perm)
		}
	}
}

// verdictField is field("seresult") and field("seperms"): the first record's, with commas
// between, as auparse has it.
func (m *Matcher) verdictField(key string) string {
	for k := m.i; k < m.j; k++ {
		v, ok := m.verdict(k)
		switch {
		case !ok:
		case key == "seresult":
			return record.Alias(v.Result)
		default:
			from := len(m.scratch)
			for perm := range permsOf(v) {
				m.scratch = append(append(m.scratch, perm...), ',')
			}
			return record.Alias(bytes.TrimSuffix(m.scratch[from:], []byte(",")))
		}
	}
	return ""
}
