package record

import "strings"

// AboutMember reports whether the op= of a record about a group says that a member or an administrator of it was added, removed or
// renamed: "add-user-to-group", "removing group member" (src/ of shadow).
func AboutMember(op string) bool {
	for word := range strings.FieldsFuncSeq(op, func(c rune) bool { return c == '-' || c == ' ' }) {
		switch word {
		case "user", "users", "member", "members", "admin", "admins":
			return true
		}
	}
	return false
}
