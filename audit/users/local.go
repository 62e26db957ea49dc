package users

// Names knows the names of user and group ids; "" means it does not, or not yet. It must not block.
// Users is one.
type Names interface {
	User(uid uint32) string
	Group(gid uint32) string
}

// EveryNode as the name of this host says that every record is its own: its auditd hands
// on no records of others.
const EveryNode = "*"

// Local reports whether a record with that node=, empty without one, is of the host of
// that name.
func Local(node []byte, host string) bool {
	return len(node) == 0 || host == EveryNode || string(node) == host
}
