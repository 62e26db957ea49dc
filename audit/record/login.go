package record

import (
	"bytes"
)

// LoginKey returns the name that a field of a LOGIN record has today, where the kernel that
// wrote it had another; "" elsewhere. gap is what stands in front of the key, and of that the
// last words bytes belong to the field (kernel/auditsc.c, audit_log_set_loginuid):
//
//	since 3.14        old-auid=1 auid=2 old-ses=3 ses=4
//	3.11 to 3.13      old-auid=1 new-auid=2 old-ses=3 new-ses=4
//	before            old auid=1 new auid=2 old ses=3 new ses=4
//	before 2.6.17     old loginuid=1 new loginuid=2
func LoginKey(gap, key []byte) (name string, words int) {
	switch string(key) {
	case "new-auid", "new-loginuid":
		return "auid", 0
	case "old-loginuid":
		return "old-auid", 0
	case "new-ses":
		return "ses", 0
	}

	const word = len("old ")
	if len(gap) < word || (len(gap) > word && gap[len(gap)-word-1] != ' ') {
		return "", 0
	}
	isOld := bytes.HasSuffix(gap, []byte("old "))
	if !isOld && !bytes.HasSuffix(gap, []byte("new ")) {
		return "", 0
	}

	switch k := string(key); {
	case (k == "auid" || k == "loginuid") && isOld:
		return "old-auid", word
	case k == "auid" || k == "loginuid":
		return "auid", word
	case k == "ses" && isOld:
		return "old-ses", word
	case k == "ses":
		return "ses", word
	}
	return "", 0
}
