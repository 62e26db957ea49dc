package record

import "bytes"

// HasVerdict reports whether records of a type may begin with SELinux's verdict: AVC and
// USER_AVC, in which it stands in the program's text.
func HasVerdict(typ uint32) bool { return typ == TypeAVC || typ == TypeUserAVC }

// Verdict is what SELinux writes in front of a record's fields, "avc:  denied  { read
// write } for  " (security/selinux/avc.c, avc_audit_pre_callback; libselinux, avc.c). auparse
// makes the fields seresult and seperms of it.
type Verdict struct {
	Result []byte // denied or granted
	Perms  []byte // what stands in the braces, for NextPerm; nil where the kernel writes null instead
	Rest   []byte // what follows, "for" and all
}

// ReadVerdict reads the verdict that text begins with.
func ReadVerdict(text []byte) (v Verdict, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(text, " "), []byte("avc:"))
	if !ok {
		return v, false
	}
	v.Result, rest = NextPerm(rest)
	if string(v.Result) != "denied" && string(v.Result) != "granted" {
		return v, false
	}
	perm, rest := NextPerm(rest)
	if string(perm) == "null" {
		v.Rest = rest
		return v, true
	}
	if len(perm) == 0 || perm[0] != '{' {
		return v, false
	}

	v.Perms = text[len(text)-len(rest)-len(perm)+1:] // after the brace
	end := bytes.IndexByte(v.Perms, '}')
	if end < 0 {
		return v, false
	}
	v.Perms, v.Rest = v.Perms[:end], v.Perms[end+1:]
	return v, true
}

// NextPerm cuts the first word off text, without the blanks around it; it is empty when
// there is none.
func NextPerm(text []byte) (perm, rest []byte) {
	text = bytes.TrimLeft(text, " ")
	end := WordEnd(text, 0)
	return text[:end], text[end:]
}
