package ocsf

import (
	"strings"
	"sync"

	"audisp-relay/audit/record"
)

// class is a class_uid of the schema. The thousands of it are its category_uid.
type class uint16

const (
	baseEvent       class = 0
	fileActivity    class = 1001
	kernelExtension class = 1002
	processEvent    class = 1007
	accountChange   class = 3001
	authentication  class = 3002
	groupManagement class = 3006
	network         class = 4001
)

// other is the activity_id of what the class has no activity for: activity_name says what it was.
const other = 99

// Activities of the classes.
const (
	fileCreate, fileRead, fileUpdate, fileDelete, fileRename    = 1, 2, 3, 4, 5
	fileSetAttributes, fileSetSecurity, fileGetAttributes       = 6, 7, 8
	fileMount, fileUnmount, fileOpen                            = 12, 13, 14
	processLaunch, processTerminate, processOpen, processInject = 1, 2, 3, 4
	processSetUserID                                            = 5
	moduleLoad, moduleUnload                                    = 1, 2
	accountCreate, accountPassword, accountDelete               = 1, 3, 6
	accountLock, accountUnlock                                  = 9, 12
	groupAddUser, groupRemoveUser                               = 3, 4
	groupDelete, groupCreate                                    = 5, 6
	logon, logoff                                               = 1, 2
	netOpen, netFail, netRefuse, netTraffic                     = 1, 4, 5, 6
)

// party says which process or user of an event an action is about.
type party uint8

const (
	itself party = iota // the process that made the system call
	child               // the process that it has made
	object              // the process that the OBJ_PID record names
	dest                // the address is the responder's
	source              // the address is the initiator's
)

// action says what records of some types, or some system calls, are to the schema.
type action struct {
	of       string // record types and system calls, blanks between
	class    class
	activity uint8
	about    party
}

// actions is the table of what is known: docs/ocsf.md explains it. What is not in it is a base event, and so
// is an event that lacks what its class requires.
var actions = [...]action{
	// Processes.
	{"execve execveat", processEvent, processLaunch, itself},
	{"fork vfork clone", processEvent, processLaunch, child},
	{"exit_group ANOM_ABEND", processEvent, processTerminate, itself},
	{"clone3 exit", processEvent, other, itself}, // a process or a thread: the records do not say which
	{"kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal", processEvent, other, object},
	{"ptrace process_vm_readv pidfd_open pidfd_getfd", processEvent, processOpen, object},
	{"process_vm_writev", processEvent, processInject, object},
	{"setuid setuid32 setreuid setreuid32 setresuid setresuid32 setfsuid setfsuid32", processEvent, processSetUserID, itself},
	{"init_module finit_module", kernelExtension, moduleLoad, itself},
	{"delete_module", kernelExtension, moduleUnload, itself},
	// Files.
	{"creat mknod mknodat mkdir mkdirat link linkat symlink symlinkat", fileActivity, fileCreate, itself},
	{"open openat openat2", fileActivity, fileOpen, itself}, // Create where the file was not there
	{"read pread64 readv preadv preadv2 readlink readlinkat", fileActivity, fileRead, itself},
	{"write pwrite64 writev pwritev pwritev2 truncate truncate64 ftruncate ftruncate64 fallocate", fileActivity, fileUpdate, itself},
	{"unlink unlinkat rmdir", fileActivity, fileDelete, itself},
	{"rename renameat renameat2", fileActivity, fileRename, itself},
	{"utime utimes futimesat utimensat utimensat_time64", fileActivity, fileSetAttributes, itself},
	{"setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr", fileActivity, fileSetAttributes, itself},
	{"chmod fchmod fchmodat fchmodat2", fileActivity, fileSetSecurity, itself},
	{"chown chown32 fchown fchown32 lchown lchown32 fchownat", fileActivity, fileSetSecurity, itself},
	{"stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx access faccessat faccessat2", fileActivity, fileGetAttributes, itself},
	{"getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr", fileActivity, fileGetAttributes, itself},
	{"mount move_mount", fileActivity, fileMount, itself},
	{"umount umount2", fileActivity, fileUnmount, itself},
	// Sockets with an address of the Internet.
	{"connect", network, netOpen, dest}, // Refuse or Fail where it did
	{"accept accept4", network, netOpen, source},
	{"sendto sendmsg sendmmsg", network, netTraffic, dest},
	{"recvfrom recvmsg recvmmsg", network, netTraffic, source},
	{"bind", network, other, dest},
	// Logins and sessions, of the user that acct= and id= name.
	{"USER_LOGIN USER_START", authentication, logon, itself},
	{"USER_LOGOUT USER_END", authentication, logoff, itself},
	{"USER_AUTH USER_ACCT USER_ERR CRED_ACQ CRED_REFR CRED_DISP LOGIN", authentication, other, itself},
	{"ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME ANOM_LOGIN_SESSIONS ANOM_LOGIN_LOCATION", authentication, other, itself},
	// Accounts.
	{"ADD_USER ANOM_ADD_ACCT", accountChange, accountCreate, itself},
	{"DEL_USER ANOM_DEL_ACCT", accountChange, accountDelete, itself},
	{"USER_CHAUTHTOK", accountChange, accountPassword, itself},
	{"ACCT_LOCK RESP_ACCT_LOCK RESP_ACCT_LOCK_TIMED", accountChange, accountLock, itself},
	{"ACCT_UNLOCK RESP_ACCT_UNLOCK_TIMED", accountChange, accountUnlock, itself},
	{"USER_MGMT ROLE_ASSIGN ROLE_REMOVE ANOM_MOD_ACCT", accountChange, other, itself}, // Add User and Remove User of a group where they name one
	{"ADD_GROUP", groupManagement, groupCreate, itself},
	{"DEL_GROUP", groupManagement, groupDelete, itself},
	{"GRP_MGMT GRP_CHAUTHTOK", groupManagement, other, itself},
}

// known finds the rows of the table.
type known struct {
	calls map[string]*action
	types map[uint32]*action
}

// tables is made with the first Encoder, so that a process that writes no ocsf pays nothing for it.
var tables = sync.OnceValue(func() *known {
	t := &known{calls: make(map[string]*action), types: make(map[uint32]*action)}
	for i := range actions {
		for name := range strings.FieldsSeq(actions[i].of) {
			if name[0]-'A' < 26 {
				t.types[record.TypeNumber([]byte(name))] = &actions[i]
			} else {
				t.calls[name] = &actions[i]
			}
		}
	}
	return t
})
