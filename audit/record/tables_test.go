package record_test

import (
	"slices"
	"testing"

	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
)

func TestTablesHaveTheNamesOfEachArch(t *testing.T) {
	for _, tt := range []struct {
		what, got, want string
	}{
		{"x86_64", record.ArchName(0xC000003E), "x86_64"},
		{"aarch64", record.ArchName(0xC00000B7), "aarch64"},
		{"riscv64", record.ArchName(0xC00000F3), "riscv64"},
		{"no arch", record.ArchName(1), ""},
		{"openat", record.SyscallName(0xC000003E, 257), "openat"},
		{"read", record.SyscallName(0xC000003E, 0), "read"},
		{"execve of i386", record.SyscallName(0x40000003, 11), "execve"},
		{"execve of aarch64", record.SyscallName(0xC00000B7, 221), "execve"},
		{"execve of ppc64le", record.SyscallName(0xC0000015, 11), "execve"},
		{"execve of armeb", record.SyscallName(0x28, 11), "execve"},
		{"execve of riscv64", record.SyscallName(0xC00000F3, 221), "execve"},
		{"execve of loongarch64", record.SyscallName(0xC0000102, 221), "execve"},
		{"call of riscv64 alone", record.SyscallName(0xC00000F3, 259), "riscv_flush_icache"},
		{"and not of aarch64", record.SyscallName(0xC00000B7, 259), ""},
		{"uretprobe of x86_64", record.SyscallName(0xC000003E, 335), "uretprobe"},
		{"uprobe of x86_64", record.SyscallName(0xC000003E, 336), "uprobe"},
		{"execve of x32", record.SyscallName(0xC000003E, 0x40000000+520), "execve"},
		{"pwritev2 of x32, the last of its own", record.SyscallName(0xC000003E, 0x40000000+547), "pwritev2"},
		{"connect of x32", record.SyscallName(0xC000003E, 0x40000000+42), "connect"},
		{"after the last of x32", record.SyscallName(0xC000003E, 0x40000000+548), ""},
		{"more bits than x32", record.SyscallName(0xC000003E, 0x80000000+42), ""},
		{"no x32 of i386", record.SyscallName(0x40000003, 0x40000000+11), ""},
		{"335 of i386", record.SyscallName(0x40000003, 335), "rt_tgsigqueueinfo"},
		{"setxattrat", record.SyscallName(0xC000003E, 463), "setxattrat"},
		{"getxattrat of aarch64", record.SyscallName(0xC00000B7, 464), "getxattrat"},
		{"listxattrat of riscv64", record.SyscallName(0xC00000F3, 465), "listxattrat"},
		{"removexattrat of loongarch64", record.SyscallName(0xC0000102, 466), "removexattrat"},
		{"open_tree_attr of i386", record.SyscallName(0x40000003, 467), "open_tree_attr"},
		{"file_getattr of s390x", record.SyscallName(0x80000016, 468), "file_getattr"},
		{"file_setattr of ppc64le", record.SyscallName(0xC0000015, 469), "file_setattr"},
		{"listns of arm", record.SyscallName(0x40000028, 470), "listns"},
		{"rseq_slice_yield", record.SyscallName(0xC000003E, 471), "rseq_slice_yield"},
		{"after it", record.SyscallName(0xC000003E, 472), ""},
		{"io_uring_setup of mips64, which counts from 5000", record.SyscallName(0x80000008, 5425), "io_uring_setup"},
		{"and of mips from 4000", record.SyscallName(8, 4469), "file_setattr"},
		{"and of alpha from 110", record.SyscallName(0xC0009026, 535), "io_uring_setup"},
		{"io_uring_setup of sparc64", record.SyscallName(0x8000002B, 425), "io_uring_setup"},
		{"older call of an arch without a table", record.SyscallName(0x8000002B, 5), ""},
		{"number of another arch", record.SyscallName(0x80000008, 425), ""},
		{"no arch", record.SyscallName(0, 1), ""},
		{"negative", record.SyscallName(0xC000003E, -1), ""},
		{"far", record.SyscallName(0xC000003E, 1<<40), ""},
		{"after the last", record.SyscallName(0xC000003E, 1023), ""},
		{"ENOENT", record.ErrnoName(2), "ENOENT"},
		{"ERESTARTSYS", record.ErrnoName(512), "ERESTARTSYS"},
		{"no error", record.ErrnoName(0), ""},
		{"ECONNREFUSED of x86_64", record.ErrnoNameOn(0xC000003E, 111), "ECONNREFUSED"},
		{"ECONNREFUSED of riscv64", record.ErrnoNameOn(0xC00000F3, 111), "ECONNREFUSED"},
		{"no arch", record.ErrnoNameOn(0, 111), "ECONNREFUSED"},
		{"111 of mips64", record.ErrnoNameOn(0x80000008, 111), ""},
		{"35 of sparc64", record.ErrnoNameOn(0x8000002B, 35), ""},
		{"35 of parisc", record.ErrnoNameOn(0xF, 35), ""},
		{"11 of alpha", record.ErrnoNameOn(0xC0009026, 11), ""},
		{"11 of mips", record.ErrnoNameOn(8, 11), "EAGAIN"},
		{"EACCES of mips", record.ErrnoNameOn(8, 13), "EACCES"},
		{"ERESTARTSYS of mips", record.ErrnoNameOn(8, 512), "ERESTARTSYS"},
		{"negative", record.ErrnoName(-2), ""},
		{"far", record.ErrnoName(1 << 40), ""},
		{"inet6", record.FamilyName(10), "inet6"},
		{"mctp", record.FamilyName(45), "mctp"},
		{"no family", record.FamilyName(46), ""},
		{"no family", record.FamilyName(65535), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

// Every entry of go-libaudit's tables can be had.
func TestTablesAreWhole(t *testing.T) {
	for code, name := range auparse.AuditArchNames {
		if got := record.ArchName(uint32(code)); got != name {
			t.Errorf("%x is %q, want %q", uint32(code), got, name)
		}
		if got, ok := record.ArchCode(name); !ok || got != uint32(code) {
			t.Errorf("%s is %x, %v", name, got, ok)
		}
	}
	if code, ok := record.ArchCode("pdp11"); ok {
		t.Errorf("pdp11 is %x", code)
	}
	for arch, names := range auparse.AuditSyscalls {
		code, ok := record.ArchCode(arch)
		if !ok {
			t.Errorf("no arch %s", arch)
		}
		for nr, name := range names {
			if got := record.SyscallName(code, int64(nr)); got != name {
				t.Errorf("%s %d is %q, want %q", arch, nr, got, name)
			}
		}
	}
	for n, name := range auparse.AuditErrnoToName {
		if got := record.ErrnoName(int64(n)); got != name {
			t.Errorf("%d is %q, want %q", n, got, name)
		}
	}
}

func TestParseArch(t *testing.T) {
	for v, want := range map[string]uint32{"c000003e": 0xC000003E, "C00000B7": 0xC00000B7, "0": 0, "ffffffff": 0xFFFFFFFF} {
		if got, ok := record.ParseArch([]byte(v)); !ok || got != want {
			t.Errorf("%s is %x, %v", v, got, ok)
		}
	}
	for _, v := range []string{"", "0xc0", "100000000", "x86_64", "-1"} {
		if got, ok := record.ParseArch([]byte(v)); ok {
			t.Errorf("%q is %x", v, got)
		}
	}
}

func TestTablesAllocateNothing(t *testing.T) {
	name := "x86_64"
	if n := testing.AllocsPerRun(100, func() {
		record.ArchName(0xC000003E)
		record.ArchCode(name)
		record.SyscallName(0xC000003E, 257)
		record.SyscallName(0x40000028, 11)
		record.ErrnoName(2)
		record.FamilyName(2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNamesOfSystemCallsCountFromADirectory(t *testing.T) {
	for call, want := range map[string][]int{"openat": {0}, "renameat2": {0, 2}, "symlinkat": {1}, "fanotify_mark": {3}, "fsconfig": {record.NotRecorded}, "open": nil, "": nil} {
		if got := record.DirFDs(call); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", call, got, want)
		}
	}
	for call, want := range map[string]bool{"open": true, "utimes": true, "openat": false, "read": false, "": false} {
		if got := record.TakesNoDir(call); got != want {
			t.Errorf("%s takes no directory: %v", call, got)
		}
	}
}
