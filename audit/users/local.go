package users

// EveryNode as the name of this host says that every record is its own: its auditd hands
// on no records of others.
const EveryNode = "*"

// Local reports whether a record with that node=, empty without one, is of the host of
// that name.
func Local(node []byte, host string) bool {
	return len(node) == 0 || host == EveryNode || string(node) == host
}
