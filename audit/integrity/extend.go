package integrity

import (
	"bytes"

	"audisp-relay/audit/record"
)

// lastOf says with which field the records of a type end, where that is one field, "" where
// it is not. The kernel adds new fields at the end, so a record that has this one,
// followed by whole fields, is whole too.
func lastOf(typ uint32) string {
	switch typ {
	case record.TypeSyscall, record.TypeUring:
		return "key"
	case record.TypePath:
		return "cap_frootid"
	case record.TypeBprmFcaps:
		return "frootid"
	case record.TypeCapset:
		return "cap_pa"
	case record.TypeConfig, record.TypeFeature, record.TypeReplace, record.TypeListener, record.TypeLogin, record.TypeAnomAbend, record.TypeAnomLink:
		return "res"
	case record.TypeObjPID:
		return "ocomm"
	case record.TypeMmap:
		return "flags"
	case record.TypeFDPair:
		return "fd1"
	case record.TypeOpenat2:
		return "resolve"
	case record.TypeKernModule:
		return "name"
	case record.TypeInjOffset:
		return "nsec"
	case record.TypeAdjNtp:
		return "new"
	case record.TypeSeccomp:
		return "code"
	case record.TypeTTY, record.TypeUserTTY:
		return "data"
	case record.TypeAnomPromisc:
		return "ses"
	case record.TypeAVC:
		return "tclass"
	}

	if record.OfDaemon(typ) {
		return "res"
	}
	return ""
}

// extended reports whether a record that ends with an unknown field has the one
// that its type used to end with, followed by whole fields.
func extended(typ uint32, raw []byte) bool {
	name := lastOf(typ)
	if name == "" {
		return false
	}

	// A field's value has a blank in it only in quotes, and there no '=' follows a blank
	// where the kernel writes what others say: that is in hex then.
	at := len(name + "=")
	if k := bytes.LastIndex(raw, []byte(" "+name+"=")); k >= 0 {
		at += k + len(" ")
	} else if !record.HasPrefix(raw, name+"=") {
		return false
	}
	value, rest, ok := cutValue(raw[at:])
	if !ok {
		return false
	}

	if record.OfDaemon(typ) {
		if old, is := bytes.CutPrefix(rest, []byte(" auditd")); is { // "res=success, auditd pid=1"
			value, rest = bytes.TrimSuffix(value, []byte{','}), old
		}
		if !isResult(value) {
			return false
		}
	}
	return wholeFields(rest)
}

// isResult reports whether value is one that auditd's own records end with.
func isResult(value []byte) bool {
	switch string(value) {
	case "success", "failed", "1", "0":
		return true
	}
	return false
}

// wholeFields reports whether text is empty or " key=value" again and again, with
// no value that is torn.
func wholeFields(text []byte) bool {
	for len(text) > 0 {
		k := bytes.IndexByte(text, '=')
		if text[0] != ' ' || k < 2 || !isName(text[1:k]) {
			return false
		}
		var ok bool
		if _, text, ok = cutValue(text[k+1:]); !ok {
			return false
		}
	}
	return true
}

// cutValue takes the value that text begins with, and reports whether it is whole.
func cutValue(text []byte) (value, rest []byte, ok bool) {
	if len(text) == 0 {
		return nil, nil, false
	}
	end := bytes.IndexByte(text, ' ')
	if text[0] == '"' {
		end = bytes.IndexByte(text[1:], '"') + 2
		if end < 2 || (end < len(text) && text[end] != ' ') {
			return nil, nil, false
		}
	} else if end < 0 {
		end = len(text)
	}
	value, rest = text[:end], text[end:]

	// The mode of an AppArmor context: "subj=/usr/sbin/cupsd (enforce)".
	if len(rest) > 1 && rest[1] == '(' {
		k := bytes.IndexByte(rest, ')')
		if k < 0 {
			return nil, nil, false
		}
		rest = rest[k+1:]
	}
	return value, rest, len(value) > 0
}

// isName reports whether name is one that the kernel gives a field.
func isName(name []byte) bool {
	for _, c := range name {
		if c-'a' >= 26 && c-'0' >= 10 && c != '_' && c != '-' {
			return false
		}
	}
	return len(name) > 0
}

// lookOnly judges the value of the one field that a record has, with those that a
// newer kernel may have added after it.
func lookOnly(value []byte) verdict {
	if v := lookText(value); v != truncated || bytes.IndexByte(value, ' ') < 0 {
		return v
	}
	first, rest, ok := cutValue(value)
	if !ok || lookText(first) == truncated {
		return truncated
	}
	return is(len(rest) > 0 && wholeFields(rest))
}
