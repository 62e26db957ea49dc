package ecs

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/elastic/go-libaudit/v2/auparse"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

type fataler interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkWhole fails when something of the event's records is neither in event.original nor,
// in one of the forms that docs/ecs.md names, a value of the document.
func checkWhole(t fataler, b *record.Batch, i, j int, leaves map[string]any) {
	t.Helper()
	var values []string
	for path, v := range leaves {
		switch v := v.(type) {
		case string:
			values = append(values, v)
		case []any:
			for _, s := range v {
				values = append(values, s.(string))
			}
			if path == "auditd.paths" {
				t.Errorf("a path without fields")
			}
		}
	}
	if leaves["labels.encoding"] == "percent" {
		for k := range values {
			values[k] = audittest.Unpercent(values[k])
		}
	}
	if original, ok := leaves["event.original"].([]any); ok {
		for k := i; k < j; k++ {
			want := string(plainLine(b, k))
			got := original[k-i].(string)
			if leaves["labels.encoding"] == "percent" {
				got = audittest.Unpercent(got)
			}
			if got != want {
				t.Errorf("event.original has %q, the record is %q", got, want)
			}
		}
		if len(original) != j-i {
			t.Errorf("%d records in event.original, not %d", len(original), j-i)
		}
		return
	}
	for k := i; k < j; k++ {
		r := record.Parse(b, k)
		if len(r.ID) == 0 {
			t.Errorf("%q is nowhere", b.Bytes(k))
			continue
		}
		c := checker{t: t, r: &r, values: values, paths: countPaths(b, i, j), title: exactTitle(leaves)}
		c.fields(r.Body, outer)
		if r.Type != uint32(auparse.AUDIT_SOCKADDR) {
			c.fields(r.Names, twins)
		}
	}
}

// exactTitle returns the process's title as docs/ecs.md says it is to be read.
func exactTitle(leaves map[string]any) string {
	title, _ := leaves["process.title"].(string)
	title = strings.ReplaceAll(title, " ", "\x00")
	if parts, ok := leaves["auditd.data.proctitle"].([]any); ok {
		var list []string
		for _, p := range parts {
			list = append(list, p.(string))
		}
		title = strings.Join(list, "\x00")
	}
	if leaves["labels.encoding"] == "percent" {
		title = audittest.Unpercent(title)
	}
	return title
}

func plainLine(b *record.Batch, i int) []byte {
	r := record.Parse(b, i)
	line := b.Bytes(i)
	line = line[:len(line)-len(r.Tail)]
	if len(r.Node) > 0 && len(r.ID) > 0 {
		line = bytes.TrimPrefix(line, []byte("node="+string(r.Node)+" "))
	}
	return line
}

func countPaths(b *record.Batch, i, j int) (n int) {
	for ; i < j; i++ {
		if b.Recs[i].Type == uint32(auparse.AUDIT_PATH) {
			n++
		}
	}
	return n
}

type checker struct {
	t      fataler
	r      *record.Parsed
	values []string
	paths  int
	title  string // the process's, exactly
}

// has reports whether some value is, or for words without quotes ends with, s.
func (c *checker) has(s string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool { return v == s })
}

// Where fields are.
const (
	outer = iota
	nested
	twins
)

func (c *checker) fields(body []byte, where int) {
	s := record.Scan(body)
	token := ""
	for s.Next() {
		c.gap(token, string(s.Gap))
		token = string(s.Value)
		if string(s.Key) == "msg" && len(token) > 1 && token[0] == '\'' && where == outer {
			c.fields([]byte(token[1:len(token)-1]), nested)
			continue
		}
		if !c.shown(string(s.Key), token, where == twins) && !c.begins(token) {
			c.t.Errorf("%s: %s=%.99s is nowhere", c.r.ID, s.Key, token)
		}
	}
	c.gap(token, string(s.Gap))
}

// begins reports whether a value continues with words that belong to it.
func (c *checker) begins(token string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool { return strings.HasPrefix(v, token+" ") || strings.HasPrefix(v, token+"\t") })
}

func (c *checker) gap(token, gap string) {
	words := strings.Trim(gap, " ")
	if words == "" || words == "old" || words == "new" {
		return
	}
	if perms, ok := strings.CutPrefix(words, "avc:"); ok {
		_, perms, _ = strings.Cut(perms, "{")
		perms, _, _ = strings.Cut(perms, "}")
		if c.has(strings.Join(strings.Fields(perms), ",")) {
			return
		}
	}
	if whole := token + strings.TrimRight(gap, " "); c.has(whole) {
		return
	}
	c.t.Errorf("%s: %q is nowhere", c.r.ID, gap)
}

// shown reports whether a field's value is there, in one of its forms.
func (c *checker) shown(key, token string, twin bool) bool {
	switch token {
	case "", "?", "?,", "(null)":
		return true // no value
	case "4294967295", "-1":
		if strings.HasSuffix(key, "uid") || strings.HasSuffix(key, "gid") || strings.HasSuffix(key, "ses") || key == "id" {
			return true // unset
		}
	}
	if twin && (token == `"unset"` || strings.HasPrefix(token, `"unknown(`)) {
		return true
	}
	forms := []string{token}
	if n := len(token); n > 1 && (token[0] == '"' || token[0] == '\'') && token[n-1] == token[0] {
		forms[0] = token[1 : n-1]
	} else if text, ok := record.AppendUnhex(nil, []byte(token)); ok {
		forms = append(forms, string(text), strings.ReplaceAll(string(text), "\x00", " "))
	}
	if c.r.Type == uint32(auparse.AUDIT_EXECVE) {
		// An argument in pieces: its length, and those in it.
		last := forms[len(forms)-1]
		if strings.HasSuffix(key, "_len") || (strings.HasSuffix(key, "]") && slices.ContainsFunc(c.values, func(v string) bool { return strings.Contains(v, last) })) {
			return true
		}
	}
	if c.r.Type == uint32(auparse.AUDIT_SOCKADDR) && key == "saddr" {
		return c.address(token)
	}
	switch key {
	case "comm": // the kernel cuts it, and the program's whole name may be in its place
		for _, f := range forms {
			if len(f) == 15 && slices.ContainsFunc(c.values, func(v string) bool { return strings.HasPrefix(v, f) }) {
				return true
			}
		}
	case "proctitle":
		return slices.Contains(forms[:min(2, len(forms))], c.title)
	case "key":
		for _, key := range strings.Split(forms[min(1, len(forms)-1)], "\x01") {
			if !c.has(strings.TrimPrefix(key, "key=")) && !c.has(strings.TrimPrefix(forms[0], "key=")) {
				return false
			}
		}
		return true
	case "items":
		return token == strconv.Itoa(c.paths) || c.has(forms[0])
	case "subj", "obj":
		all := true
		for _, part := range strings.SplitN(forms[0], ":", 5) {
			all = all && (c.has(part) || c.begins(part))
		}
		return all || c.has(forms[0])
	case "success", "res":
		forms = append(forms, map[string]string{"yes": "success", "no": "fail", "1": "success", "0": "fail", "success": "success", "failed": "fail"}[forms[0]])
	}
	if n, err := strconv.Atoi(token); err == nil {
		forms = append(forms, auparse.AuditErrnoToName[-n], auparse.AuditSyscalls["x86_64"][n])
		if n > 0 && n < 65 {
			forms = append(forms, unix.SignalName(unix.Signal(n)))
		}
	}
	if n, err := strconv.ParseUint(token, 16, 32); err == nil {
		forms = append(forms, auparse.AuditArchNames[auparse.AuditArch(n)])
	}
	return slices.ContainsFunc(forms, func(f string) bool {
		return (f != "" || token == `""`) && (c.has(f) || f == "")
	})
}

// address reports whether a socket address can be restored: it is there in hex, or its
// family, port and address are.
func (c *checker) address(hex string) bool {
	raw, ok := record.AppendUnhex(nil, []byte(hex))
	if c.has(hex) || !ok || len(raw) < 2 {
		return c.has(hex)
	}
	if raw[0] == 1 {
		path, rest, _ := bytes.Cut(raw[2:], []byte{0})
		return c.has("unix") && len(rest) == 0 && c.has(string(path))
	}
	port := fmt.Sprint(int(raw[2])<<8 | int(raw[3]))
	return c.has(port) && ((len(raw) == 16 && c.has("ipv4")) || (len(raw) == 28 && c.has("ipv6")))
}

// Of the captures, nothing is lost, and few events need their records' text beside the
// fields: but for auditd 4.2.1's cut records, these two.
func TestCapturesAreWhole(t *testing.T) {
	for _, name := range captures.Names(t, "*.string.gz") {
		b, ends := group(parse(t, string(captures.Read(t, name))))
		e, i := New(Options{}), 0
		for _, j := range ends {
			leaves := decodeLine(t, e.AppendEvent(nil, b, i, j))
			checkWhole(t, b, i, j, leaves)
			checkSchema(t, leaves)
			if leaves["event.original"] != nil && !strings.Contains(name, "4.2.1-raw") {
				t.Logf("%s: %q", name, leaves["event.original"])
				if typ := leaves["auditd.message_type"]; typ != "daemon_end" {
					t.Errorf("%s: the fields of %s do not show all", name, typ)
				}
			}
			i = j
		}
	}
}

// Whatever is in records, also in those that no kernel writes, is in the document.
func TestHostileRecordsAreWhole(t *testing.T) {
	e := New(Options{Node: "n"})
	whole := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(hostileEvent).Draw(t, "event")
		b, err := records(text)
		if err != nil {
			t.Fatal(err)
		}
		line := e.AppendEvent(nil, b, 0, len(b.Recs))
		leaves, err := readLine(line)
		if err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		checkWhole(t, b, 0, len(b.Recs), leaves)
		checkSchema(t, leaves)
		if leaves["event.original"] == nil {
			whole++
		}
		if t.Failed() {
			t.Logf("%s", line)
		}
	})
	if whole < 10 && !testing.Short() { // then there are a fifth as many
		t.Errorf("of %d events the fields show all", whole)
	}
}

// hostileEvent makes the records of one event out of what real ones are made of.
func hostileEvent(t *rapid.T) string {
	types := rapid.SampledFrom([]string{"SYSCALL", "SYSCALL", "PATH", "PATH", "EXECVE", "SOCKADDR", "CWD", "PROCTITLE", "AVC", "USER_CMD",
		"USER_LOGIN", "LOGIN", "CONFIG_CHANGE", "GRP_MGMT", "GRP_CHAUTHTOK", "ADD_USER", "ACCT_LOCK", "CHGRP_ID", "FANOTIFY", "USER_AVC", "UNKNOWN[1420]", "APPARMOR_STATUS", "OBJ_PID", "SECCOMP", "BPF", "URINGOP", "EOE", "TTY", "UNKNOWN[1423]", "UNKNOWN[70000]"})
	keys := rapid.SampledFrom([]string{"pid", "ppid", "uid", "auid", "euid", "gid", "egid", "ses", "key", "name", "mode", "exe", "comm", "cwd",
		"proctitle", "argc", "a0", "a1", "a1_len", "a1[0]", "arch", "syscall", "success", "res", "exit", "items", "subj", "obj", "saddr", "op", "text",
		"acct", "addr", "hostname", "data", "cmd", "sig", "result", "socket", "socket_addr", "owner", "uid_name", "subj_user", "terminal", "nametype",
		"ouid", "id", "grp", "old-auid", "old-ses", "ogid", "suid", "xuid", "new_gid", "new_group", "subj_", "subj_trust", "obj_trust", "obj_user", "apparmor", "operation",
		"scontext", "seresult", "msg", "Upper", "dot.ted", "x", "y", "\xff", ""})
	number := rapid.IntRange(0, 400)
	value := rapid.Custom(func(t *rapid.T) string {
		n := number.Draw(t, "n")
		return fmt.Sprintf(rapid.SampledFrom([]string{"%d", "-%d", "0%d", `"v%d"`, `"v%d w"`, "v%d", `"v%d`, "'v%d'", "61%02X00", "%x", `"?"`, `""`, "?", "(null)",
			"yes", "no", "c000003e", "4294967295", "-1", "a:b:c:d:e:f%d", "v%d\x1dw", "v%d\xff", "02000035010203040000000000000000", "01002F6100",
			"666F6F01626172", "00020035010203040000000000000000", "28000000160500000300000000000000", "090031302E302E302E31", "100000000500000001000000", "ffffff9c", "000100", `"STATUS"`,
			`"/v%d"`, "granted", "add-user-to-group", "op w%d", "success", "\"v%d\x00\"", "v%d\tw", "10.0.0.%d", "%%2f%d"}).Draw(t, "form"), n)
	})
	mild := rapid.Bool().Draw(t, "mild") // fields that are each in the record once, and nothing else
	fields := func(most int) string {
		var out strings.Builder
		seen := map[string]bool{}
		for range rapid.IntRange(0, most).Draw(t, "fields") {
			if key := keys.Draw(t, "key"); mild {
				if !seen[key] && key != "result" && !strings.ContainsAny(key, "U.") && utf8.ValidString(key) && !strings.HasPrefix(key, "socket") && key != "" && key != "msg" {
					val := value.Draw(t, "value")
					switch key {
					case "success", "res":
						val = "yes"
					case "pid", "ppid":
						val = strconv.Itoa(number.Draw(t, "n"))
					}
					out.WriteString(key + "=" + val + " ")
				}
				seen[key] = true
				continue
			}
			out.WriteString(rapid.SampledFrom([]string{"", "", "", "", "", "", "word ", "avc:  denied  { read } for ", "(enforce) ", "old ", " "}).Draw(t, "gap"))
			out.WriteString(keys.Draw(t, "key") + "=" + value.Draw(t, "value") + " ")
		}
		return out.String()
	}
	var text strings.Builder
	most := 6
	if mild {
		most = 2
	}
	for range rapid.IntRange(1, most).Draw(t, "records") {
		body := fields(8)
		if !mild && rapid.IntRange(0, 4).Draw(t, "msg") == 0 {
			body += "msg='" + fields(6) + rapid.SampledFrom([]string{"'", "' ", "", " tail'"}).Draw(t, "end")
		}
		if !mild && rapid.IntRange(0, 2).Draw(t, "names") == 0 {
			body += sep + fields(4) + `UID="root" AUID="unset" EUID="a b" SYSCALL=openat`
		}
		text.WriteString(rec(types.Draw(t, "type"), strings.ReplaceAll(strings.TrimSpace(body), "\n", "")))
	}
	return text.String()
}
