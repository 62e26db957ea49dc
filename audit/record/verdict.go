package record

import (
	"bytes"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// HasVerdict reports whether records of a type may begin with SELinux's verdict: AVC and
// USER_AVC, in which it stands in the program's text.
func HasVerdict(typ uint32) bool {
	return typ == uint32(auparse.AUDIT_AVC) || typ == uint32(auparse.AUDIT_USER_AVC)
}

// Verdict reads what SELinux writes in front of a record's fields, "avc:  denied  { read
// write } for  " (security/selinux/avc.c, avc_audit_pre_callback; libselinux, avc.c). result
// is denied or granted, perms what stands in the braces, for NextPerm. Where no permission
// is left the kernel writes null in their place. What auparse makes of it are the fields seresult
// and seperms.
func Verdict(words []byte) (result, perms []byte, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(words, " "), []byte("avc:"))
	if !ok {
		return nil, nil, false
	}
	result, rest = NextPerm(rest)
	if string(result) != "denied" && string(result) != "granted" {
		return nil, nil, false
	}
	perm, rest := NextPerm(rest)
	switch {
	case string(perm) == "null":
		return result, nil, true
	case len(perm) == 0 || perm[0] != '{':
		return nil, nil, false
	}
	perms = words[len(words)-len(rest)-len(perm)+1:] // behind the brace
	end := bytes.IndexByte(perms, '}')
	if end < 0 {
		return nil, nil, false
	}
	return result, perms[:end], true
}

// NextPerm cuts the first word off text, without the blanks around it; it is empty when
// there is none.
func NextPerm(text []byte) (perm, rest []byte) {
	from := 0
	for from < len(text) && text[from] == ' ' {
		from++
	}
	to := find(text, from, ' ')
	return text[from:to], text[to:]
}
