package decode_test

import (
	"testing"

	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/decode"
)

func TestTables(t *testing.T) {
	for _, tt := range []struct {
		what, got, want string
	}{
		{"x86_64", decode.ArchName(0xC000003E), "x86_64"},
		{"aarch64", decode.ArchName(0xC00000B7), "aarch64"},
		{"riscv64", decode.ArchName(0xC00000F3), "riscv64"},
		{"no arch", decode.ArchName(1), ""},
		{"openat", decode.SyscallName(0xC000003E, 257), "openat"},
		{"read", decode.SyscallName(0xC000003E, 0), "read"},
		{"execve of i386", decode.SyscallName(0x40000003, 11), "execve"},
		{"execve of aarch64", decode.SyscallName(0xC00000B7, 221), "execve"},
		{"execve of ppc64le", decode.SyscallName(0xC0000015, 11), "execve"},
		{"execve of armeb", decode.SyscallName(0x28, 11), "execve"},
		{"execve of riscv64", decode.SyscallName(0xC00000F3, 221), "execve"},
		{"execve of loongarch64", decode.SyscallName(0xC0000102, 221), "execve"},
		{"call of riscv64 alone", decode.SyscallName(0xC00000F3, 259), "riscv_flush_icache"},
		{"and not of aarch64", decode.SyscallName(0xC00000B7, 259), ""},
		{"uretprobe of x86_64", decode.SyscallName(0xC000003E, 335), "uretprobe"},
		{"uprobe of x86_64", decode.SyscallName(0xC000003E, 336), "uprobe"},
		{"335 of i386", decode.SyscallName(0x40000003, 335), "rt_tgsigqueueinfo"},
		{"setxattrat", decode.SyscallName(0xC000003E, 463), "setxattrat"},
		{"getxattrat of aarch64", decode.SyscallName(0xC00000B7, 464), "getxattrat"},
		{"listxattrat of riscv64", decode.SyscallName(0xC00000F3, 465), "listxattrat"},
		{"removexattrat of loongarch64", decode.SyscallName(0xC0000102, 466), "removexattrat"},
		{"open_tree_attr of i386", decode.SyscallName(0x40000003, 467), "open_tree_attr"},
		{"file_getattr of s390x", decode.SyscallName(0x80000016, 468), "file_getattr"},
		{"file_setattr of ppc64le", decode.SyscallName(0xC0000015, 469), "file_setattr"},
		{"listns of arm", decode.SyscallName(0x40000028, 470), "listns"},
		{"rseq_slice_yield", decode.SyscallName(0xC000003E, 471), "rseq_slice_yield"},
		{"behind it", decode.SyscallName(0xC000003E, 472), ""},
		{"io_uring_setup of mips64, which counts from 5000", decode.SyscallName(0x80000008, 5425), "io_uring_setup"},
		{"and of mips from 4000", decode.SyscallName(8, 4469), "file_setattr"},
		{"and of alpha from 110", decode.SyscallName(0xC0009026, 535), "io_uring_setup"},
		{"io_uring_setup of sparc64", decode.SyscallName(0x8000002B, 425), "io_uring_setup"},
		{"older call of an arch without a table", decode.SyscallName(0x8000002B, 5), ""},
		{"number of another arch", decode.SyscallName(0x80000008, 425), ""},
		{"no arch", decode.SyscallName(0, 1), ""},
		{"negative", decode.SyscallName(0xC000003E, -1), ""},
		{"far", decode.SyscallName(0xC000003E, 1<<40), ""},
		{"behind the last", decode.SyscallName(0xC000003E, 1023), ""},
		{"ENOENT", decode.ErrnoName(2), "ENOENT"},
		{"ERESTARTSYS", decode.ErrnoName(512), "ERESTARTSYS"},
		{"no error", decode.ErrnoName(0), ""},
		{"ECONNREFUSED of x86_64", decode.ErrnoNameOn(0xC000003E, 111), "ECONNREFUSED"},
		{"ECONNREFUSED of riscv64", decode.ErrnoNameOn(0xC00000F3, 111), "ECONNREFUSED"},
		{"no arch", decode.ErrnoNameOn(0, 111), "ECONNREFUSED"},
		{"111 of mips64", decode.ErrnoNameOn(0x80000008, 111), ""},
		{"35 of sparc64", decode.ErrnoNameOn(0x8000002B, 35), ""},
		{"35 of parisc", decode.ErrnoNameOn(0xF, 35), ""},
		{"11 of alpha", decode.ErrnoNameOn(0xC0009026, 11), ""},
		{"11 of mips", decode.ErrnoNameOn(8, 11), "EAGAIN"},
		{"EACCES of mips", decode.ErrnoNameOn(8, 13), "EACCES"},
		{"ERESTARTSYS of mips", decode.ErrnoNameOn(8, 512), "ERESTARTSYS"},
		{"negative", decode.ErrnoName(-2), ""},
		{"far", decode.ErrnoName(1 << 40), ""},
		{"inet6", decode.FamilyName(10), "inet6"},
		{"mctp", decode.FamilyName(45), "mctp"},
		{"no family", decode.FamilyName(46), ""},
		{"no family", decode.FamilyName(65535), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

// Every entry of go-libaudit's tables can be had.
func TestTablesAreWhole(t *testing.T) {
	for code, name := range auparse.AuditArchNames {
		if got := decode.ArchName(uint32(code)); got != name {
			t.Errorf("%x is %q, want %q", uint32(code), got, name)
		}
		if got, ok := decode.ArchCode(name); !ok || got != uint32(code) {
			t.Errorf("%s is %x, %v", name, got, ok)
		}
	}
	if code, ok := decode.ArchCode("pdp11"); ok {
		t.Errorf("pdp11 is %x", code)
	}
	for arch, names := range auparse.AuditSyscalls {
		code, ok := decode.ArchCode(arch)
		if !ok {
			t.Errorf("no arch %s", arch)
		}
		for nr, name := range names {
			if got := decode.SyscallName(code, nr); got != name {
				t.Errorf("%s %d is %q, want %q", arch, nr, got, name)
			}
		}
	}
	for n, name := range auparse.AuditErrnoToName {
		if got := decode.ErrnoName(n); got != name {
			t.Errorf("%d is %q, want %q", n, got, name)
		}
	}
}

func TestParseArch(t *testing.T) {
	for v, want := range map[string]uint32{"c000003e": 0xC000003E, "C00000B7": 0xC00000B7, "0": 0, "ffffffff": 0xFFFFFFFF} {
		if got, ok := decode.ParseArch([]byte(v)); !ok || got != want {
			t.Errorf("%s is %x, %v", v, got, ok)
		}
	}
	for _, v := range []string{"", "0xc0", "100000000", "x86_64", "-1"} {
		if got, ok := decode.ParseArch([]byte(v)); ok {
			t.Errorf("%q is %x", v, got)
		}
	}
}

func TestTablesAllocateNothing(t *testing.T) {
	name := "x86_64"
	if n := testing.AllocsPerRun(100, func() {
		decode.ArchName(0xC000003E)
		decode.ArchCode(name)
		decode.SyscallName(0xC000003E, 257)
		decode.SyscallName(0x40000028, 11)
		decode.ErrnoName(2)
		decode.FamilyName(2)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
