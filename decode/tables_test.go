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
		{"arch without a table", decode.SyscallName(0xC00000F3, 221), ""},
		{"no arch", decode.SyscallName(0, 1), ""},
		{"negative", decode.SyscallName(0xC000003E, -1), ""},
		{"far", decode.SyscallName(0xC000003E, 1<<40), ""},
		{"behind the last", decode.SyscallName(0xC000003E, 1023), ""},
		{"ENOENT", decode.ErrnoName(2), "ENOENT"},
		{"ERESTARTSYS", decode.ErrnoName(512), "ERESTARTSYS"},
		{"no error", decode.ErrnoName(0), ""},
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
