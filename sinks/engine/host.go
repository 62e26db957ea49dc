package engine

import (
	"os"

	"audisp-relay/host"
)

// Host is what batches say of where they come from.
type Host struct {
	ID   string // machine-id, or the boot id where there is none; "" if neither can be read
	Name string
	Boot string // boot id without dashes, "" where it is not known
	// Borrowed says that ID is the boot id: the host is another one after the next boot.
	Borrowed bool
}

// ThisHost reads what this host is called.
func ThisHost() Host {
	h := Host{Boot: host.BootID()}
	h.Name, _ = os.Hostname()
	id, permanent := host.MachineID()
	h.ID, h.Borrowed = id, !permanent
	return h
}
