package json

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// Names of keys that mean something to the encoder, and odd ones.
var hostileKeys = strings.Fields(`arch syscall per success exit a0 a1 a2 a3 items ppid pid auid uid gid euid fsgid tty ses comm
	exe subj key item name inode dev mode ouid ogid rdev nametype cap_fp cap_frootid saddr cwd proctitle argc a1_len a1[0] a12
	a99999999999 op acct id res hostname old-auid old-ses obj_uid new_gid inode_gid uring_op sauid
	type node serial record_types keys paths sockaddrs args args_missing other_records incomplete names frame encoding
	raw tail words quoted errno syscall_number user auser group id_name family path port addr abstract records text msg
	KEY Auid uId -x _x x-y x.y x:y a=b é @timestamp
	seresult seperms literal blanks spelled separator loginuid new-auid new-ses user_ id_ user id spid vm msg`)

var hostileValues = []string{
	"", "0", "-0", "00", "007", "1", "-1", "-2", "-111", "42", "1000", "4294967295", "4294967294", "4294967296", "9007199254740991",
	"9007199254740992", "-9007199254740991", "-9007199254740993", "99999999999999999999999", "1.5", "1e5", "+1", "yes", "no", "Yes",
	"c000003e", "C000003E", "0c000003e", "40000003", "deadbeef", "c00000b7", "x86_64", "0xc000003e", "0x", "0x12", "ABCD", "abcd", "7ffc12ab", "7FFC",
	"(null)", `"(null)"`, "?", `"?"`, `""`, `"`, `''`, `'`, `"a"`, `"a"b"`, `"a b"`, `"a\b"`, `'a b'`, `"ab`, "2F746D702F612062", "6162", "2f62", "616",
	"6B316B01326B33", "6B01", "01", "00", "FF", "E282AC20", "FF20", "41004200", "%", "%41", `"100%"`, "\xff", "\xc3\xa9", "\xed\xa0\x80", "\x01", "\x7f", "\x1d", "a\x1db", "a\x00b",
	"\x00", "{ x }", "openat", "pts0", `"dm-0"`, `"fe:00"`, "=", "==", "a=b", "\\", "\\u0041", "</script>", "\u2028", "\ufeff",
	"020000097F0000010000000000000000", "0A000009000000000000000000000000000000000000000100000000", "0A0000090000000000000000", "0200",
	"02", "01002F746D702F6E6F706520736F636B00", "0100006162737472616374FF", "010000", "0100", "100000000000000000000000", "1000000011000000", "28000000D204000002000000",
	"01002F746D702F7D2041554944002F", "FFFF0000", "001E0001",
}

var hostileTwins = []string{
	`AUID="unset"`, `UID="root"`, `GID="root"`, `AUID="x"`, `AUID=""`, `UID="a\b"`, `UID="a b"`, "UID=612062", "UID=61", "UID=FF20", `OUID="root"`, `ID="x"`, "ARCH=x86_64",
	"ARCH=i386", "SYSCALL=openat", "SYSCALL=unknown-syscall(1)", "SYSCALL=\xff%", `SYSCALL="`, "URING_OP=openat", `OBJ_UID="x"`, `OLD-AUID="unset"`,
	"SADDR={ saddr_fam=inet laddr=127.0.0.1 lport=9 }", "SADDR={ saddr_fam=local path=/tmp/nope sock }", "SADDR={ saddr_fam=local path=abstract\xff }",
	"SADDR={ saddr_fam=netlink nlnk-fam=16 nlnk-pid=0 }", "SADDR={ saddr_fam=inet6 laddr=::1 lport=9 }", "SADDR={", "", " ", "x",
}

var hostileTypes = strings.Fields(`SYSCALL SYSCALL SYSCALL PATH PATH CWD PROCTITLE EXECVE EOE SOCKADDR AVC USER_AVC LOGIN USER_LOGIN USER_AUTH ADD_USER
	CONFIG_CHANGE LOGIN BPRM_FCAPS OBJ_PID DAEMON_ERR KERNEL URINGOP SECCOMP INTEGRITY_DATA CRYPTO_KEY_USER UNKNOWN[1332] UNKNOWN[70000]
	UNKNOWN[1999] UNKNOWN[66936] UNKNOWN[66843] APPARMOR_DENIED`)

// anyValue draws the value of a field.
func anyValue(t *rapid.T) string {
	switch rapid.IntRange(0, 9).Draw(t, "value is") {
	case 0:
		return rapid.StringMatching(`"[!-~]{0,6}"`).Draw(t, "quoted")
	case 1:
		return strings.ToUpper(fmt.Sprintf("%x", rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "hex")))
	case 2:
		return fmt.Sprint(rapid.Int64().Draw(t, "number"))
	case 3:
		return string(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 6).Draw(t, "bytes"))
	}
	return rapid.SampledFrom(hostileValues).Draw(t, "value")
}

func anyKey(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "odd key") == 0 {
		return string(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 5).Draw(t, "key"))
	}
	return rapid.SampledFrom(hostileKeys).Draw(t, "key")
}

// anyFields draws fields, mostly as they should be.
func anyFields(t *rapid.T, n int) string {
	var b strings.Builder
	for i := range rapid.IntRange(0, n).Draw(t, "fields") {
		gap := " "
		if i == 0 {
			gap = ""
		}
		if rapid.IntRange(0, 9).Draw(t, "odd gap") == 0 {
			gap = rapid.SampledFrom([]string{"", "  ", " word ", " two words ", "avc:  denied  { read } for  ", " avc:  granted  null for ", " old ", " new ", "   ", "\x00", "\n", " \xff ", "\t"}).Draw(t, "gap")
		}
		b.WriteString(gap + anyKey(t) + "=" + anyValue(t))
	}
	return b.String()
}

// ordered draws fields in the order in which a type has them.
func ordered(t *rapid.T, keys string) string {
	var fields []string
	for _, key := range strings.Fields(keys) {
		switch rapid.IntRange(0, 7).Draw(t, key) {
		case 0:
		case 1:
			fields = append(fields, key+"="+anyValue(t))
		default:
			fields = append(fields, key+"="+rapid.SampledFrom([]string{"1", "0", `"x"`, "4294967295", "c000003e", "yes", "(null)", "2F746D702F612062"}).Draw(t, "v"))
		}
	}
	return strings.Join(fields, " ")
}

// anyBody draws what stands after the header of a record.
func anyBody(t *rapid.T, typ string) string {
	body := ""
	switch rapid.IntRange(0, 5).Draw(t, "body is") {
	case 0:
		body = ordered(t, syscallFields)
	case 1:
		body = ordered(t, pathFields)
	case 2:
		body = ordered(t, "pid uid auid ses") + " msg='" + anyFields(t, 5) + "'"
	case 3:
		switch typ {
		case "EXECVE":
			body = fmt.Sprintf("argc=%d", rapid.IntRange(0, 4).Draw(t, "argc"))
			for i := range rapid.IntRange(0, 4).Draw(t, "args") {
				body += fmt.Sprintf(" a%d=%s", i, anyValue(t))
			}
		case "SOCKADDR":
			body = "saddr=" + anyValue(t)
		case "CWD":
			body = "cwd=" + anyValue(t)
		case "PROCTITLE":
			body = "proctitle=" + anyValue(t)
		}
	default:
		body = anyFields(t, 8)
	}
	if rapid.IntRange(0, 3).Draw(t, "twins") == 0 {
		body += rapid.SampledFrom([]string{"\x1d", "\x1d", "\x1d", "", " ", "#035"}).Draw(t, "separator") + strings.Join(rapid.SliceOfN(rapid.SampledFrom(hostileTwins), 0, 4).Draw(t, "twins"), " ")
	}
	return body
}

// enrich adds the names that auditd would: of ids and arch, in order.
func enrich(body, sep string) string {
	var twins []string
	for _, f := range strings.Fields(body) {
		key, v, _ := strings.Cut(f, "=")
		switch {
		case key == "arch" && v == "c000003e":
			twins = append(twins, "ARCH=x86_64")
		case key == "syscall":
			twins = append(twins, "SYSCALL=read")
		case (strings.HasSuffix(key, "uid") || strings.HasSuffix(key, "gid")) && v == "4294967295":
			twins = append(twins, strings.ToUpper(key)+`="unset"`)
		case strings.HasSuffix(key, "uid") || strings.HasSuffix(key, "gid"):
			twins = append(twins, strings.ToUpper(key)+`="root"`)
		}
	}
	if twins == nil {
		return body
	}
	return body + sep + strings.Join(twins, " ")
}

// anyEvent draws a batch that holds the records of one event as some stream brings them.
func anyEvent(t *rapid.T) record.Batch {
	var b record.Batch
	kind := rapid.SampledFrom([]record.Kind{record.Line, record.Line, record.Ver0, record.Ver1}).Draw(t, "kind")
	node := rapid.SampledFrom([]string{"", "", "host", "h%41", "é", "\xff", "a=b"}).Draw(t, "node")
	id := rapid.SampledFrom([]string{"1795298317.900:1730631", "0.000:0", "999999999999.999:4294967295", "01.000:07"}).Draw(t, "id")
	for range rapid.IntRange(1, 6).Draw(t, "records") {
		typ := rapid.SampledFrom(hostileTypes).Draw(t, "type")
		body := anyBody(t, typ)
		if rapid.IntRange(0, 3).Draw(t, "enrich") == 0 {
			body = enrich(body, rapid.SampledFrom([]string{"\x1d", "\x1d", "", " ", "#035"}).Draw(t, "separator"))
		}
		gap := ": "
		if body == "" || rapid.IntRange(0, 19).Draw(t, "odd header") == 0 {
			gap = rapid.SampledFrom([]string{":", "", " ", ":  ", ": "}).Draw(t, "colon")
		}
		tail := ""
		if rapid.IntRange(0, 4).Draw(t, "tail") == 0 {
			tail = rapid.SampledFrom([]string{" ", "  ", "\x00", "\x00\x00 ", " \n"}).Draw(t, "tail")
		}
		text := "audit(" + id + ")" + gap + body + tail
		k := kind
		if rapid.IntRange(0, 29).Draw(t, "odd kind") == 0 {
			k = rapid.SampledFrom([]record.Kind{record.Line, record.Ver0, record.Ver1, record.Junk}).Draw(t, "kind")
		}
		if k != record.Ver0 {
			text = "type=" + typ + " msg=" + text
			if node != "" {
				text = "node=" + node + " " + text
			}
		}
		add(&b, k, typ, text)
	}
	for i := range b.Recs {
		if rapid.IntRange(0, 9).Draw(t, "flag") == 0 {
			b.Recs[i].Flags |= record.FromLog
		}
	}
	if rapid.Bool().Draw(t, "partial") {
		b.Recs[len(b.Recs)-1].Flags |= record.End | record.Partial
	}
	return b
}

// add reads a record as the stream package does and adds it to b.
func add(b *record.Batch, k record.Kind, typ, text string) {
	var data []byte
	number := record.TypeNumber([]byte(typ))
	switch k {
	case record.Line:
		data = []byte(strings.ReplaceAll(text, "\n", " ") + "\n")
	case record.Ver0:
		data = stream.AppendFrame(nil, 0, number, []byte(text))
	default:
		data = stream.AppendFrame(nil, 1, number, []byte(text))
	}
	var got record.Batch
	if err := stream.NewReader(bytes.NewReader(data)).Next(&got); err != nil || len(got.Recs) == 0 {
		// One frame waits for the next until the end of the stream.
		r := stream.NewReader(bytes.NewReader(data))
		for err == nil && len(got.Recs) == 0 {
			err = r.Next(&got)
		}
	}
	for i := range got.Recs {
		rec := got.Recs[i]
		rec.Off = uint32(len(b.Buf))
		if k == record.Junk {
			rec.Kind, rec.Flags, rec.Type = k, record.NoID, 0 // as the stream package has it
		}
		b.Buf = append(b.Buf, got.Bytes(i)...)
		b.Recs = append(b.Recs, rec)
	}
}

// fakeUsers knows some ids.
type fakeUsers struct{}

func (fakeUsers) User(uid uint32) string  { return map[uint32]string{0: "root", 1: `d"%` + "\xff"}[uid] }
func (fakeUsers) Group(gid uint32) string { return map[uint32]string{0: "wheel", 1: "gé"}[gid] }

func TestHostileRecordsAreRebuilt(t *testing.T) {
	doc := readDoc(t)
	encoders := []*Encoder{New(Options{}), New(Options{Users: fakeUsers{}, Local: "host"}), New(Options{Node: "far%\xff"})}
	rapid.Check(t, func(t *rapid.T) {
		b := anyEvent(t)
		if len(b.Recs) > 0 {
			checkEvent(t, doc, rapid.SampledFrom(encoders).Draw(t, "encoder"), &b, 0, len(b.Recs))
		}
	})
}

func TestDamagedRecordsAreRebuilt(t *testing.T) {
	doc := readDoc(t)
	var lines []string
	for _, name := range []string{"audit-3.0.9-node.string.gz", "audit-4.2.1-enriched.string.gz", "audit-3.0.9-raw.string.gz"} {
		for _, line := range strings.SplitAfter(string(captures.Read(t, name)), "\n") {
			if len(line) > 0 && len(line) < 2000 {
				lines = append(lines, line)
			}
		}
	}
	e := New(Options{})
	rapid.Check(t, func(t *rapid.T) {
		var b record.Batch
		from := rapid.IntRange(0, len(lines)-4).Draw(t, "from")
		for _, line := range lines[from : from+rapid.IntRange(1, 4).Draw(t, "lines")] {
			text := []byte(line)
			for range rapid.IntRange(0, 3).Draw(t, "damages") {
				i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
				switch rapid.IntRange(0, 3).Draw(t, "damage") {
				case 0:
					text[i] = rapid.Byte().Draw(t, "byte")
				case 1:
					text = append(text[:i:i], text[min(len(text), i+rapid.IntRange(1, 20).Draw(t, "cut")):]...)
				case 2:
					text = append(text[:i:i], append([]byte(rapid.SampledFrom(hostileValues).Draw(t, "insert")), text[i:]...)...)
				case 3:
					j := rapid.IntRange(i, min(len(text), i+30)).Draw(t, "to")
					text = append(text[:j:j], append(bytes.Clone(text[i:j]), text[j:]...)...)
				}
				if len(text) == 0 {
					text = []byte(" ")
				}
			}
			add(&b, record.Line, "", strings.TrimSuffix(string(text), "\n"))
		}
		if len(b.Recs) > 0 {
			checkEvent(t, doc, e, &b, 0, len(b.Recs))
		}
	})
}
