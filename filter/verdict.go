package filter

import (
	"bytes"

	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
)

var seresultPattern = newPattern("seresult")

// verdict returns what SELinux says in record k: in the words of an AVC or in the text of a
// USER_AVC, else in the field seresult= that some SELINUX_ERR records have.
func (m *Matcher) verdict(k int) (result, perms []byte, ok bool) {
	var r body
	switch typ := m.b.Recs[k].Type; {
	case record.HasVerdict(typ):
		m.cut(&r, k)
		for _, text := range [2][]byte{r.text, r.msg} {
			if result, perms, ok := inWords(text); ok {
				return result, perms, true
			}
		}
	case typ == uint32(auparse.AUDIT_SELINUX_ERR) || typ == uint32(auparse.AUDIT_USER_SELINUX_ERR):
		m.cut(&r, k)
	default:
		return nil, nil, false
	}
	for _, text := range [2][]byte{r.text, r.msg} {
		if v := seresultPattern.inText(text); v != nil {
			return bytes.Trim(v, `"'`), nil, true
		}
	}
	return nil, nil, false
}

// inWords looks for a verdict in what stands between the fields of a text.
func inWords(text []byte) (result, perms []byte, ok bool) {
	for s, more := record.Scan(text), true; more; {
		more = s.Next()
		if result, perms, ok = record.Verdict(s.Gap); ok {
			return result, perms, true
		}
	}
	return nil, nil, false
}

// loadResults loads denied or granted of each record that says it.
func loadResults(m *Matcher, v *value) {
	v.texts = v.texts[:0]
	for k := m.i; k < m.j; k++ {
		if result, _, ok := m.verdict(k); ok && m.room(len(v.texts)) {
			v.texts = append(v.texts, alias(result))
		}
	}
}

// loadPerms loads the permissions that all records name.
func loadPerms(m *Matcher, v *value) {
	v.texts = v.texts[:0]
	for k := m.i; k < m.j; k++ {
		_, perms, _ := m.verdict(k)
		for {
			var perm []byte
			if perm, perms = record.NextPerm(perms); len(perm) == 0 || !m.room(len(v.texts)) {
				break
			}
			v.texts = append(v.texts, alias(perm))
		}
	}
}

// verdictField is field("seresult") and field("seperms"): the first record's, with commas
// between, as auparse has it.
func (m *Matcher) verdictField(key string) string {
	for k := m.i; k < m.j; k++ {
		result, perms, ok := m.verdict(k)
		if !ok {
			continue
		}
		if key == "seresult" {
			return alias(result)
		}
		from := len(m.scratch)
		for {
			var perm []byte
			if perm, perms = record.NextPerm(perms); len(perm) == 0 {
				return alias(m.scratch[from:])
			}
			if len(m.scratch) > from {
				m.scratch = append(m.scratch, ',')
			}
			m.scratch = append(m.scratch, perm...)
		}
	}
	return ""
}
