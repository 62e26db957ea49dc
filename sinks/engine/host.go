package engine

import (
	"bytes"
	"cmp"
	"os"
	"strings"

	"audisp-relay/fleet/wire"
)

// Host is what batches say of where they come from.
type Host struct {
	ID   string // machine-id, or the boot id where there is none
	Name string
	Boot string // boot id without dashes, "" where it is not known
	// Borrowed says that ID is the boot id: the host is another one after the next boot.
	Borrowed bool
}

// ThisHost reads what this host is called: /etc/machine-id (machine-id(5)) and
// /proc/sys/kernel/random/boot_id (random(4)).
func ThisHost() Host { return hostOf("/etc/machine-id", "/proc/sys/kernel/random/boot_id") }

func hostOf(machine, boot string) Host {
	var h Host
	h.Name, _ = os.Hostname()
	if b := strings.ReplaceAll(word(boot), "-", ""); wire.ValidHost(b) {
		h.Boot = b
	}
	if h.ID = word(machine); !wire.ValidHost(h.ID) {
		// Without any of both, all hosts would be one: then the name is missing, and what
		// sends says so.
		h.ID, h.Borrowed = cmp.Or(h.Boot, ""), true
	}
	return h
}

// word returns the text of a small file without blanks around it, "" where it cannot be read.
func word(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var buf [128]byte
	n, _ := f.Read(buf[:])
	return string(bytes.TrimSpace(buf[:n]))
}
