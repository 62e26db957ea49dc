package record

import "strings"

// NotRecorded is what DirFDs returns for an argument beyond a0 to a3, which are all that a SYSCALL
// record has.
const NotRecorded = 4

// DirFDs returns which arguments of a system call are the descriptors of directories from which
// relative names count (linux/syscalls.h): of two, the first is that of a name which is there, the
// second that of one which the call makes.
func DirFDs(call string) []int { return dirFDs[call] }

var dirFDs = func() map[string][]int {
	m := map[string][]int{
		"linkat": {0, 2}, "renameat": {0, 2}, "renameat2": {0, 2}, "move_mount": {0, 2},
		"symlinkat": {1}, "fanotify_mark": {3}, "fsconfig": {NotRecorded},
	}
	first := []int{0}
	for call := range strings.FieldsSeq(`openat openat2 readlinkat fchmodat fchmodat2 fchownat mkdirat mknodat unlinkat
		faccessat faccessat2 fstatat fstatat64 newfstatat statx utimensat utimensat_time64 futimesat execveat
		name_to_handle_at open_tree open_tree_attr fspick mount_setattr setxattrat getxattrat listxattrat
		removexattrat file_getattr file_setattr`) {
		m[call] = first
	}
	return m
}()

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
