package record

// Flags of clone(2) (linux/sched.h).
const (
	CloneParent = 0x8000  // what is made is a child of its maker's parent
	CloneThread = 0x10000 // it is a thread, and its number no process's
)

// CloneFlagsArg returns which argument of clone(2) has the flags on an arch: the first one, on s390 the second (kernel/fork.c,
// CONFIG_CLONE_BACKWARDS2). clone3(2) has them in memory, so that no record says what it has made.
func CloneFlagsArg(arch uint32) int {
	switch ArchName(arch) {
	case "s390", "s390x":
		return 1
	}
	return 0
}
