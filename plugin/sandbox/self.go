//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where what execve(2) takes lies. A filter cannot read memory, so it compares these addresses, and they are the
// same in every run, since the filter stays in force over the exec. Every user space has them (39 bits on some arm64
// kernels), and nothing else of a Go program is there.
const (
	selfEnv  = uintptr(0x20_0000_0000) // pointers
	selfArgs = selfEnv + 256           // pointers
	selfPath = selfEnv + 2048
	selfText = selfPath + 4096 + 1 // of arguments and environment
	selfEnd  = selfEnv + 64<<10    // a page of any kernel
)

// seal puts the program and what it gets into memory that nothing in this process can change: a file
// that is sealed against writing, mapped shared, so that /proc/self/mem cannot write to it either, and kept
// where it is by mseal(2).
func (s *Self) seal(f filter) error {
	memory, err := s.layout(append(slices.Clone(s.Env), filterEnv+"="+f.name()))
	if err != nil {
		return err
	}
	fd, err := sealedFile(memory)
	if err != nil {
		return fmt.Errorf("memory for the program's name: %w", err)
	}
	defer unix.Close(fd)

	size := selfEnd - selfEnv
	at, _, errno := unix.Syscall6(unix.SYS_MMAP, selfEnv, size, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE, uintptr(fd), 0)
	if errno == 0 && at != selfEnv { // a kernel that takes the address for a hint
		unix.Syscall(unix.SYS_MUNMAP, at, size, 0)
		errno = unix.EEXIST
	}
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_MSEAL, selfEnv, size, 0)
	}

	switch errno {
	case 0:
		return nil
	case unix.ENOSYS:
		return notHere("this kernel has no mseal: it came with Linux 6.10")
	}
	return fmt.Errorf("map the program's name: %w", errno)
}

// layout returns the bytes from selfEnv on.
func (s *Self) layout(env []string) ([]byte, error) {
	memory := make([]byte, selfEnd-selfEnv)
	free := selfText
	text := func(at uintptr, t string) { copy(memory[at-selfEnv:], t) }
	list := func(at, end uintptr, texts []string) error {
		for _, t := range texts {
			if at+16 > end || free+uintptr(len(t))+1 > selfEnd {
				return errors.New("too many arguments, or too long ones")
			}
			binary.NativeEndian.PutUint64(memory[at-selfEnv:], uint64(free))
			text(free, t)
			at, free = at+8, free+uintptr(len(t))+1
		}
		return nil
	}

	if len(s.Path) >= int(selfText-selfPath) {
		return nil, errors.New("the path of the program is too long")
	}
	text(selfPath, s.Path)
	return memory, errors.Join(list(selfEnv, selfArgs, env), list(selfArgs, selfPath, s.Args))
}

// sealedFile returns a file with this content that cannot be written to, opened for reading.
func sealedFile(content []byte) (fd int, err error) {
	writable, err := unix.MemfdCreate("audisp-relay", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	defer unix.Close(writable)
	if _, err := unix.Pwrite(writable, content, 0); err != nil {
		return -1, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(writable), unix.F_ADD_SEALS, seals); err != nil {
		return -1, err
	}
	// A shared mapping of a file that is open for writing could be made writable.
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", writable), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// selfOnly lets a call of execve pass that is for what seal has put into memory.
func selfOnly() (p []bpf.Instruction) {
	const parts = 12 // of which every second jumps to the end
	for n, at := range []uintptr{selfPath, selfArgs, selfEnv} {
		for half, want := range []uint32{uint32(at), uint32(uint64(at) >> 32)} {
			p = append(p, bpf.LoadAbsolute{Off: atArgs + 8*uint32(n) + 4*uint32(half), Size: 4})
			p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: want, SkipTrue: uint8(parts - len(p))})
		}
	}
	return append(p, bpf.RetConstant{Val: allow}, bpf.RetConstant{Val: refuse})
}

// ExecSelf executes what Options.Self says, after Enter with it. It returns only if that fails.
func ExecSelf() error {
	_, _, errno := unix.Syscall(unix.SYS_EXECVE, selfPath, selfArgs, selfEnv)
	return errno
}
