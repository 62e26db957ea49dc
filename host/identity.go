package host

import (
	"os"
	"strings"
)

// MachineID returns the id of this host from /etc/machine-id (machine-id(5)): 32 hexadecimal
// digits. Where there is none that can be used it is the boot id, which another boot changes;
// permanent is false then. It is "" if neither can be read. It may be called from anywhere.
func MachineID() (id string, permanent bool) {
	if id := readID("/etc/machine-id"); id != "" {
		return id, true
	}
	return BootID(), false
}

// BootID returns the id of this boot without its dashes, from /proc/sys/kernel/random/boot_id,
// "" if it cannot be read. It may be called from anywhere.
func BootID() string { return readID("/proc/sys/kernel/random/boot_id") }

// readID returns the 32 hexadecimal digits that a file has, "" if it has others: an image
// before its first boot says "uninitialized".
func readID(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var text [64]byte
	n, _ := f.Read(text[:])
	id := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(string(text[:n])), "-", ""))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
