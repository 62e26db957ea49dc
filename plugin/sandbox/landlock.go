package sandbox

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rulesetAttr is struct landlock_ruleset_attr, pathBeneath landlock_path_beneath_attr (linux/landlock.h).
type rulesetAttr struct{ files, network, scoped uint64 }

type pathBeneath struct {
	allowed uint64
	fd      int32
}

// Rights of landlock(7).
const (
	// within are those that the worker has where it may write.
	within = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | refer | truncate
	// nowhere are those that it has nowhere.
	nowhere = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM

	refer    = unix.LANDLOCK_ACCESS_FS_REFER    // since version 2
	truncate = unix.LANDLOCK_ACCESS_FS_TRUNCATE // since version 3
)

// restrictThread has this thread alone, and the process that it starts, write files only beneath dirs, bind no port and, where the kernel
// can, neither connect to an abstract socket nor send a signal outside. What it was given open it may use. It takes no_new_privs.
// What is read is left to the user that the process runs as.
func restrictThread(dirs []string) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return notHere(fmt.Sprintf("this kernel has no landlock, or does not use it (lsm=): %v", errno))
	}

	attr, size := rulesetAttr{files: within | nowhere}, unsafe.Sizeof(rulesetAttr{})
	if version < 3 {
		attr.files &^= truncate
	}
	if version < 2 {
		attr.files &^= refer
	}

	switch {
	case version < 4:
		size = unsafe.Offsetof(attr.network)
	case version < 6:
		size = unsafe.Offsetof(attr.scoped)
	}
	if version >= 4 {
		attr.network = unix.LANDLOCK_ACCESS_NET_BIND_TCP
	}
	if version >= 6 {
		attr.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}

	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	defer unix.Close(int(ruleset))

	for _, dir := range dirs {
		if err := allowBeneath(int(ruleset), dir, within&attr.files); err != nil {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// allowBeneath adds a rule for a directory, if there is one.
func allowBeneath(ruleset int, dir string, rights uint64) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("landlock: open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	rule := pathBeneath{allowed: rights, fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: allow %s: %w", dir, errno)
	}
	return nil
}
