package record

// NotRecorded is what DirFDs returns for an argument beyond a0 to a3, which are all that a SYSCALL
// record has.
const NotRecorded = 4

// DirFDs returns which arguments of a system call are the descriptors of directories from which
// relative names count (linux/syscalls.h): of two, the first is that of a name which is there, the
// second that of one which the call makes.
func DirFDs(call string) []int {
	switch call {
	case "openat", "openat2", "readlinkat", "fchmodat", "fchmodat2", "fchownat", "mkdirat", "mknodat", "unlinkat",
		"faccessat", "faccessat2", "fstatat", "fstatat64", "newfstatat", "statx", "utimensat", "utimensat_time64", "futimesat", "execveat",
		"name_to_handle_at", "open_tree", "open_tree_attr", "fspick", "mount_setattr", "setxattrat", "getxattrat", "listxattrat",
		"removexattrat", "file_getattr", "file_setattr":
		return dirFDs.first[:]
	case "linkat", "renameat", "renameat2", "move_mount":
		return dirFDs.both[:]
	case "symlinkat":
		return dirFDs.second[:]
	case "fanotify_mark":
		return dirFDs.fourth[:]
	case "fsconfig":
		return dirFDs.none[:]
	}
	return nil
}

// dirFDs are what DirFDs returns, and no caller may change.
var dirFDs = struct {
	first, second, fourth, none [1]int
	both                        [2]int
}{[1]int{0}, [1]int{1}, [1]int{3}, [1]int{NotRecorded}, [2]int{0, 2}}

// TakesNoDir reports whether a system call takes a name and no descriptor of a directory, so that
// the name counts from the process's working directory.
func TakesNoDir(call string) bool {
	switch call {
	case "access", "acct", "chdir", "chmod", "chown", "chown32", "chroot", "creat", "execve", "getxattr", "inotify_add_watch", "lchown",
		"lchown32", "lgetxattr", "link", "listxattr", "llistxattr", "lremovexattr", "lsetxattr", "lstat", "lstat64", "mkdir", "mknod", "mount",
		"oldlstat", "oldstat", "open", "pivot_root", "quotactl", "readlink", "removexattr", "rename", "rmdir", "setxattr", "stat", "stat64",
		"statfs", "statfs64", "swapoff", "swapon", "symlink", "truncate", "truncate64", "umount", "umount2", "unlink", "uselib", "utime", "utimes":
		return true
	}
	return false
}
