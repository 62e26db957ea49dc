package record_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/elastic/go-libaudit/v2/auparse"
	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// typetab is what auparse says of fields (auparse/typetab.h), as classes: what is
// missing here it has no type for, or one that is a bare word or a number either way.
var typetab = map[record.Class]string{
	record.UserID: "auid uid euid suid fsuid ouid oauid old-auid iuid id inode_uid sauid obj_uid " +
		"obj_gid gid egid sgid fsgid ogid igid inode_gid new_gid",
	record.Text: "path comm exe file name watch cwd cmd acct dir key vm old-chardev new-chardev old-disk new-disk " +
		"old-fs new-fs old-net new-net device cgroup apparmor operation denied_mask info profile requested_mask " +
		"old-rng new-rng ocomm proctitle grp new_group invalid_context sw root_dir data",
	record.Hex:     "a0 a1 a2 a3 cap_pi cap_pe cap_pp cap_pa cap_fi cap_fp fp fi old_pp old_pi old_pe old_pa new_pp new_pi new_pe pp pi pe pa per fan_info",
	record.Session: "ses",
	record.Int:     "syscall uring_op exit sig list capability family proto sigev_signo prom old_prom resp fan_type subj_trust obj_trust errno",
	record.Plain: "arch perm perm_mask mode saddr res result icmptype addr code oflag flags subj obj scontext tcontext vm-ctx img-ctx " +
		"hook action macproto ioctlcmd nl-mcgrp resolve",
}

func TestClassOfIsLikeAuparse(t *testing.T) {
	for class, keys := range typetab {
		for key := range strings.FieldsSeq(keys) {
			if got := record.ClassOf([]byte(key)); got != class {
				t.Errorf("%s is %d, want %d", key, got, class)
			}
		}
	}
}

func TestClassesOfKeysThatAuparseLacks(t *testing.T) {
	for _, key := range []string{"", "a", "a4", "a10", "ui", "uidx", "xuid", "UID", "gids", "comm ", "old_auid", "new", "old", "res", "op", "tty"} {
		if got := record.ClassOf([]byte(key)); got != record.Plain {
			t.Errorf("%q is %d", key, got)
		}
	}
	for _, key := range strings.Fields("pid ppid opid items item inode ino argc nargs fd fd0 fd1 cap_fe cap_frootid compat sec records events first last") {
		if got := record.ClassOf([]byte(key)); got != record.Int {
			t.Errorf("%q is %d", key, got)
		}
	}
	for _, key := range []string{"oses", "old-ses"} {
		if got := record.ClassOf([]byte(key)); got != record.Session {
			t.Errorf("%q is %d", key, got)
		}
	}
}

func TestClassIn(t *testing.T) {
	for _, tt := range []struct {
		typ  auparse.AuditMessageType
		key  string
		want record.Class
	}{
		{auparse.AUDIT_SYSCALL, "a0", record.Hex},
		{auparse.AUDIT_EXECVE, "a0", record.Text},
		{auparse.AUDIT_EXECVE, "a999", record.Text},
		{auparse.AUDIT_EXECVE, "a1[0]", record.Text},
		{auparse.AUDIT_EXECVE, "a1_len", record.Int},
		{auparse.AUDIT_EXECVE, "argc", record.Int},
		{auparse.AUDIT_EXECVE, "auid", record.UserID},
		{auparse.AUDIT_BPRM_FCAPS, "fp", record.Hex},
		{auparse.AUDIT_CRYPTO_KEY_USER, "fp", record.Plain},
		{auparse.AUDIT_PATH, "dev", record.Plain},
		{auparse.AUDIT_AVC, "dev", record.Text},
		{auparse.AUDIT_INTEGRITY_DATA, "dev", record.Text},
		{1423, "dev", record.Text},
		{auparse.AUDIT_AVC, "name", record.Text},
		{0, "", record.Plain},
	} {
		if got := record.ClassIn(uint32(tt.typ), []byte(tt.key)); got != tt.want {
			t.Errorf("%s in %v is %d, want %d", tt.key, tt.typ, got, tt.want)
		}
	}
}

func TestHasTwin(t *testing.T) {
	for _, tt := range []struct {
		typ  auparse.AuditMessageType
		key  string
		want bool
	}{
		{auparse.AUDIT_SYSCALL, "arch", true},
		{auparse.AUDIT_SYSCALL, "syscall", true},
		{auparse.AUDIT_URINGOP, "uring_op", true},
		{auparse.AUDIT_SOCKADDR, "saddr", true},
		{auparse.AUDIT_AVC, "saddr", false},
		{auparse.AUDIT_NETFILTER_PKT, "saddr", false},
		{auparse.AUDIT_SYSCALL, "auid", true},
		{auparse.AUDIT_SYSCALL, "ses", false},
		{auparse.AUDIT_SYSCALL, "a0", false},
		{auparse.AUDIT_PATH, "cap_frootid", false},
	} {
		if got := record.HasTwin(uint32(tt.typ), []byte(tt.key)); got != tt.want {
			t.Errorf("%s in %v: %v", tt.key, tt.typ, got)
		}
	}
}

// The classes hold in every field of the captures: what is in quotes, or in hex that
// stands for text, is Text, and the other way round, but for the fields named here.
func TestClassesInCaptures(t *testing.T) {
	odd := make(map[string]string) // "TYPE key" and a value that is not of its class
	keys := make(map[string]bool)
	for _, name := range captures.Names(t, "*.gz") {
		cut := strings.HasPrefix(name, "audit-4.2.1-raw") && !strings.Contains(name, ".log") // lacks the last 16 bytes
		each(captures.Read(t, name), func(b *record.Batch, i int) {
			r := record.Parse(b, i)
			typ := string(record.AppendTypeName(nil, r.Type))
			forEachField(r.Body, func(key, value []byte) {
				if cut {
					return // its last field may be anything
				}
				if r.Type != uint32(auparse.AUDIT_EXECVE) {
					keys[string(key)] = true
				}
				if string(key) == "saddr" || bytes.IndexByte(key, '[') >= 0 {
					return // hex of any bytes
				}
				if !isOfClass(record.ClassIn(r.Type, key), value) {
					odd[typ+" "+string(key)] = string(value)
				}
			})
		})
	}
	if len(keys) < 75 {
		t.Errorf("only %d keys", len(keys))
	}
	want := map[string]string{
		// Of a file that could not be looked at (kernel/audit.c, audit_log_name).
		"PATH cap_fe": "?", "PATH cap_fi": "?", "PATH cap_fp": "?", "PATH cap_fver": "?",
	}
	if diff := cmp.Diff(want, odd); diff != "" {
		t.Errorf("fields whose value is not of their class:\n%s", diff)
	}
}

// isOfClass reports whether a field of that class may have that value.
func isOfClass(class record.Class, v []byte) bool {
	isText := len(v) > 0 && v[0] == '"'
	number := len(v) > 0 && len(bytes.Trim(v, "0123456789")) == 0
	switch class {
	case record.Text:
		return record.IsText(v) || string(v) == "(null)" || string(v) == `"?"`
	case record.Int:
		return number || (len(v) > 1 && v[0] == '-' && len(bytes.Trim(v[1:], "0123456789")) == 0)
	case record.UserID, record.Session:
		return number
	case record.Hex:
		return len(v) > 0 && len(bytes.Trim(v, "0123456789abcdef")) == 0
	}
	// Upper-case hex of a text that the kernel would not have put in quotes.
	return !isText && !(record.IsText(v) && len(v) > 3 && !number)
}

func TestTextIsReadAsTheKernelWritesIt(t *testing.T) {
	for _, tt := range []struct {
		value, text string
		ok, is      bool
	}{
		{`"abc"`, "abc", true, true},
		{`""`, "", true, true},
		{`"a b"`, "a b", true, false},
		{`'a'`, "a", true, false},
		{"612062", "a b", true, true},
		{"00", "\x00", true, true},
		{"616263", "abc", true, false},
		{"0a", "\n", true, false},
		{"0A", "\n", true, true},
		{"22", `"`, true, true},
		{"FF", "\xff", true, true},
		{"7E", "~", true, false},
		{"7F", "\x7f", true, true},
		{"21", "!", true, false},
		{"20", " ", true, true},
		{"", "", false, false},
		{`"`, `"`, false, false},
		{"'", "'", false, false},
		{"612", "612", false, false},
		{"(null)", "(null)", false, false},
		{"G0", "G0", false, false},
		{"0g", "0g", false, false},
		{"?", "?", false, false},
	} {
		text, ok := record.Unquote(nil, []byte(tt.value))
		if string(text) != tt.text || ok != tt.ok {
			t.Errorf("%q is %q, %v", tt.value, text, ok)
		}
		if is := record.IsText([]byte(tt.value)); is != tt.is {
			t.Errorf("IsText(%q) is %v", tt.value, is)
		}
	}
	for text, want := range map[string]string{"": `""`, "~": `"~"`, "!": `"!"`, "\x7f": "7F", "\x80": "80", " ": "20", `"`: "22", "'": `"'"`, "\x00\xab": "00AB"} {
		if got := record.AppendText(nil, []byte(text)); string(got) != want {
			t.Errorf("%q is written %s", text, got)
		}
	}
	dst := []byte("x")
	if got, ok := record.AppendUnhex(dst, []byte("4142")); string(got) != "xAB" || !ok {
		t.Errorf("%q, %v", got, ok)
	}
	if got, ok := record.AppendUnhex(dst, []byte("41zz")); string(got) != "x" || ok {
		t.Errorf("%q, %v", got, ok)
	}
}

func TestIsUnset(t *testing.T) {
	for v, want := range map[string]bool{"4294967295": true, "-1": true, "0": false, "": false, "04294967295": false, fmt.Sprint(uint32(record.Unset)): true} {
		if got := record.IsUnset([]byte(v)); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}

func TestTitleIsSplitIntoArguments(t *testing.T) {
	for text, want := range map[string][]string{"": {""}, "sh": {"sh"}, "sh\x00-c\x00a b": {"sh", "-c", "a b"}, "a\x00": {"a", ""}} {
		var got []string
		for _, arg := range record.AppendTitle(nil, []byte(text)) {
			got = append(got, string(arg))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("title %q: %s", text, diff)
		}
	}
}

func FuzzUnquote(f *testing.F) {
	for _, v := range []string{`"abc"`, "612062", "0a", "'x'", "", `"`} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		// Any text comes back from what the kernel writes for it.
		written := record.AppendText(nil, v)
		if got, ok := record.Unquote(nil, written); !ok || !bytes.Equal(got, v) {
			t.Fatalf("%q is written %q and read %q, %v", v, written, got, ok)
		}
		if !record.IsText(written) {
			t.Fatalf("%q is called no text", written)
		}
		// Any value: IsText says whether it comes back from its text.
		text, ok := record.Unquote(nil, v)
		if !ok && !bytes.Equal(text, v) {
			t.Fatalf("%q became %q", v, text)
		}
		if back := record.AppendText(nil, text); record.IsText(v) != (ok && bytes.Equal(back, v)) {
			t.Fatalf("%q is %q, which is written %q: IsText is %v", v, text, back, record.IsText(v))
		}
	})
}

// TestUnhexUpper: what is text in hex is decoded into the buffer, and anything else is what it was.
func TestUnhexUpper(t *testing.T) {
	buf := make([]byte, 0, 64)
	for _, c := range []struct{ in, want, buf string }{
		{"4142", "AB", "AB"}, {"414a", "414a", "AB"}, {"414", "414", "AB"}, {"4G", "4G", "AB"}, {"4A0042", "J\x00B", "ABJ\x00B"}, {"", "", "ABJ\x00B"},
	} {
		if got := record.UnhexUpper(&buf, []byte(c.in)); string(got) != c.want || string(buf) != c.buf {
			t.Errorf("%q: %q, buffer %q", c.in, got, buf)
		}
	}
	got := record.UnhexUpper(&buf, []byte("4142"))
	if _ = append(got, 'x'); string(buf[len(buf)-2:]) != "AB" || cap(got) != len(got) {
		t.Errorf("who appends to %q writes into the buffer", got)
	}
}
