package record_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// show is the parts of an address, "inet addr=1.2.3.4 port=22".
func show(a *record.Addr) string {
	out := record.FamilyName(a.Family)
	if out == "" {
		out = fmt.Sprint(a.Family)
	}
	for _, p := range a.Parts() {
		switch p.Kind {
		case record.PartNumber:
			out += fmt.Sprintf(" %s=%d", p.Name, p.Number)
		case record.PartIP:
			ip, ok := netip.AddrFromSlice(p.Bytes)
			out += fmt.Sprintf(" %s=%v", p.Name, ip)
			if !ok {
				out += "?"
			}
		case record.PartText:
			out += fmt.Sprintf(" %s=%q", p.Name, p.Bytes)
		default:
			out += fmt.Sprintf(" %s=%x", p.Name, p.Bytes)
		}
	}
	return out
}

func TestAddressesAreDecoded(t *testing.T) {
	for _, tt := range []struct{ name, saddr, want string }{
		{"unix", "01002F6465762F6C6F6700", `unix path="/dev/log"`},
		{"unix without NUL", "01002F6465762F6C6F67", `unix path="/dev/log"`},
		{"unix with rubbish after the NUL", "01002F610042FF", `unix path="/a"`},
		{"abstract", "0100002F746D702F78", `unix path="\x00/tmp/x"`},
		{"abstract with NULs, which are part of it", "010000610000", `unix path="\x00a\x00\x00"`},
		{"unix without a name", "0100", "unix"},
		{"inet", "02000016C0A80001" + "0000000000000000", "inet addr=192.168.0.1 port=22"},
		{"inet, only the port", "02000016", "inet port=22"},
		{"inet, address cut", "02000016C0A800", "inet port=22"},
		{"inet, port cut", "020000", "inet"},
		{"inet6", "0A0001BB00000000" + "20010DB8000000000000000000000001" + "00000000", "inet6 addr=2001:db8::1 port=443 flowinfo=0 scope=0"},
		{"inet6 flow", "0A0001BBFFFFFFFF" + "FE800000000000000000000000000001" + "02000080", "inet6 addr=fe80::1 port=443 flowinfo=4294967295 scope=2147483650"},
		{"inet6 without scope, as RFC 2133 had it", "0A0001BB80000000" + "FE800000000000000000000000000001", "inet6 addr=fe80::1 port=443 flowinfo=2147483648"},
		{"inet6, mapped", "0A00000000000000" + "00000000000000000000FFFF01020304" + "00000000", "inet6 addr=::ffff:1.2.3.4 port=0 flowinfo=0 scope=0"},
		{"inet of a big-endian host", "00020016C0A80001", "inet addr=192.168.0.1 port=22"},
		{"netlink", "100000000700000001000080", "netlink pid=7 groups=2147483649"},
		{"netlink of a big-endian host", "001000000000000780000001", "netlink pid=7 groups=2147483649"},
		{"packet", "1100" + "0800" + "02000000" + "0100" + "03" + "06" + "0A0B0C0D0E0F0000", "packet protocol=2048 ifindex=2 hatype=1 pkttype=3 halen=6 hwaddr=0a0b0c0d0e0f0000"},
		{"packet, hardware address cut", "1100" + "0800" + "02000000" + "0100" + "03" + "06" + "0A0B", "packet protocol=2048 ifindex=2 hatype=1 pkttype=3 halen=6 hwaddr=0a0b"},
		{"x25, cut", "0900" + "3132", `x25 addr="12"`},
		{"vsock", "2800" + "0000" + "39300000" + "FFFFFFFF" + "01000000", "vsock cid=4294967295 port=12345 flags=1"},
		{"x25", "0900" + "313233343500000000000000000000FF", `x25 addr="12345"`},
		{"ax25", "0300" + "9C6086829898E2" + "000000" + "02000000", `ax25 call="N0CALL-1" digipeaters=2`},
		{"netrom, short call", "0600" + "8240404040401E", `netrom call="A-15"`},
		{"rose", "0B00" + "2080000001" + "9C6086829898E2", `rose addr=2080000001 call="N0CALL-1"`},
		{"ipx", "0400" + "4003" + "00000001" + "AABBCCDDEEFF" + "11", "ipx port=16387 network=1 node=aabbccddeeff protocol=17"},
		{"appletalk", "0500" + "8000" + "FF01" + "05", "appletalk port=128 network=65281 node=5"},
		{"atm", "0800" + "0000" + "FFFF" + "0100" + "64000000", "atmpvc itf=-1 vpi=1 vci=100"},
		{"llc", "1A00" + "0100" + "000000" + "42" + "0A0B0C0D0E0F", "llc hatype=1 sap=66 hwaddr=0a0b0c0d0e0f"},
		{"can", "1D00" + "0000" + "03000000" + "0102030405060708", "can ifindex=3 addr=0102030405060708"},
		{"tipc", "1E00" + "02" + "FF" + "0102030405060708090A0B0C", "tipc addrtype=2 scope=-1 addr=0102030405060708090a0b0c"},
		{"alg", "2600" + hexOf("hash", 14) + "0000000000000000" + hexOf("sha256", 64), `alg alg_type="hash" alg_name="sha256"`},
		{"nfc", "2700" + "0000" + "01000000" + "02000000" + "03000000", "nfc device=1 target=2 protocol=3"},
		{"qrtr", "2A00" + "0000" + "01000000" + "02000000", "qipcrtr node=1 port=2"},
		{"xdp", "2C00" + "0400" + "02000000" + "03000000" + "05000000", "xdp flags=4 ifindex=2 queue=3 umem_fd=5"},
		{"mctp", "2D00" + "0000" + "01000000" + "08" + "7E" + "0F", "mctp network=1 addr=8 message_type=126 tag=15"},
		{"unspec", "0000" + "0102", "unspec"},
		{"unspec, which UDP takes for inet", "00000035" + "08080808" + "0000000000000000", "unspec addr=8.8.8.8 port=53"},
		{"unspec, which raw sockets take for inet", "00000000" + "08080808" + "0000000000000000" + "01", "unspec addr=8.8.8.8 port=0"},
		{"unspec, too short for inet", "00000035" + "08080808" + "00000000000000", "unspec"},
		{"unspec that is zero", strings.Repeat("00", 16), "unspec"},
		{"family without a structure here", "1F00" + "0102", "bluetooth"},
		{"family that does not exist", "FE00" + "0102", "254"},
		{"family above a byte", "0101" + "0102", "257"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, raw, ok := record.Sockaddr(nil, []byte(tt.saddr))
			if !ok {
				t.Fatal("not an address")
			}
			if got := show(&a); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := fmt.Sprintf("%X", raw); got != tt.saddr {
				t.Errorf("bytes are %s", got)
			}
		})
	}
	for _, saddr := range []string{"", "0", "02", "020", "10.0.0.1", "02000016C0A8000", "(null)"} {
		if a, _, ok := record.Sockaddr(nil, []byte(saddr)); ok {
			t.Errorf("%q is an address: %s", saddr, show(&a))
		}
	}
}

func hexOf(s string, n int) string {
	return strings.ToUpper(hex.EncodeToString(append([]byte(s), make([]byte, n-len(s))...)))
}

// The fields with names of their own are the parts of those names.
func TestFieldsOfAnAddressAreItsParts(t *testing.T) {
	type fields struct {
		Addr, Path       string
		Port, Scope, PID uint32
	}
	for _, tt := range []struct {
		saddr string
		want  fields
	}{
		{"02000016C0A80001", fields{Addr: "\xc0\xa8\x00\x01", Port: 22}},
		{"0A0001BBFFFFFFFF" + "FE800000000000000000000000000001" + "02000000", fields{Addr: "\xfe\x80" + strings.Repeat("\x00", 13) + "\x01", Port: 443, Scope: 2}},
		{"01002F6100", fields{Path: "/a"}},
		{"1000000007000000FF000000", fields{PID: 7}},
		{"28000000393000000200000000000000", fields{Port: 12345}},
		{"1E0002010102030405060708090A0B0C", fields{}}, // tipc's scope is another
	} {
		a, _, _ := record.Sockaddr(nil, []byte(tt.saddr))
		got := fields{string(a.Addr), string(a.Path), a.Port, a.Scope, a.PID}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.saddr, diff)
		}
	}
}

// What auditd itself says of the addresses in the captures.
func TestAddressesAreAsAuditdPrintsThem(t *testing.T) {
	n := 0
	for _, name := range captures.Names(t, "*enriched.log.gz") {
		each(captures.Read(t, name), func(b *record.Batch, i int) {
			r := record.Parse(b, i)
			s := record.Scan(r.Body)
			if !r.Twinned || !s.Next() || string(s.Key) != "saddr" {
				return
			}
			a, _, ok := record.Sockaddr(nil, s.Value)
			if !ok {
				t.Fatalf("%s", s.Value)
			}
			said, _ := r.Name(nil, []byte("saddr"))
			got := strings.ReplaceAll(strings.ReplaceAll(show(&a), "unix ", "local "), `"`, "")
			got = strings.ReplaceAll(got, `\xff`, "\xff")
			want := strings.NewReplacer("{ saddr_fam=", "", " }", "", "laddr=", "addr=", "lport=", "port=",
				"nlnk-fam=16 nlnk-pid=", "pid=").Replace(string(said))
			// auditd leaves out what follows the port, and shows no NUL.
			got, _, _ = strings.Cut(strings.ReplaceAll(got, `\x00`, "@"), " flowinfo")
			got, _, _ = strings.Cut(got, " groups")
			if a.Family == 1 && len(a.Path) > 0 && a.Path[0] == 0 {
				want = strings.Replace(want, "path=", "path=@", 1)
			}
			if n++; got != want {
				t.Errorf("%s: got %q, auditd says %q", s.Value, got, said)
			}
		})
	}
	if n < 80 {
		t.Errorf("%d addresses", n)
	}
}

func TestSockaddrAllocatesNothing(t *testing.T) {
	scratch := make([]byte, 128)
	for _, saddr := range []string{"02000016C0A80001", "01002F6465762F6C6F6700", "100000000700000001000080"} {
		v := []byte(saddr)
		if n := testing.AllocsPerRun(100, func() { record.Sockaddr(scratch, v) }); n != 0 {
			t.Errorf("%s: %v allocations", saddr, n)
		}
	}
}

func FuzzSockaddr(f *testing.F) {
	for _, saddr := range []string{"02000016C0A80001", "01002F6465762F6C6F6700", "10.0.0.1", "0A0001BBFFFFFFFF", "03009C6086829898E2"} {
		f.Add([]byte(saddr))
	}
	f.Fuzz(func(t *testing.T, saddr []byte) {
		a, raw, ok := record.Sockaddr(nil, saddr)
		if !ok {
			return
		}
		if got := fmt.Appendf(nil, "%X", raw); !bytes.Equal(got, bytes.ToUpper(saddr)) {
			t.Fatalf("%s gives %s", saddr, got)
		}
		for _, p := range a.Parts() {
			if p.Name == "" || (p.Kind == record.PartIP && len(p.Bytes) != 4 && len(p.Bytes) != 16) {
				t.Fatalf("%s: %+v", saddr, p)
			}
			if p.Kind != record.PartNumber && p.Name != "call" && !bytes.Contains(raw, p.Bytes) {
				t.Fatalf("%s: %+v is not in it", saddr, p)
			}
		}
	})
}
