package filter

import "testing"

// TestFieldsWithinQuotesAreNotFound: what looks like a field within the quotes of another is none.
func TestFieldsWithinQuotesAreNotFound(t *testing.T) {
	for _, c := range []struct {
		body string
		srcs []string
	}{
		{`DM_CTRL module=crypt op=ctr auid=1000 dev=254:3 error_msg='Cannot allocate res=1 ouid=7 key="evil" x' res=0`, []string{
			`res == "0"`, `failed`, `not has_key("evil")`, `key == ""`, `ouid == unset`, `field("res") == "0"`, `auid == 1000`, `op == "ctr"`}},
		{`DM_CTRL error_msg='one' auid=5 op=ctr res=1`, []string{`res == "1"`, `success`, `auid == 5`}},
		{`DM_CTRL error_msg='no end auid=5 res=1`, []string{`res == "1"`, `auid == 5`}},
		{`AVC apparmor="DENIED" operation="open" info="no such profile="x" here comm=y" profile="real" pid=1 comm="cupsd"`, []string{
			`apparmor == "DENIED"`, `pid == 1`}},
		{`AVC apparmor="DENIED" info="Failed name lookup comm=evil pid=9 profile=p" profile="real" pid=1 comm="cupsd"`, []string{
			`profile == "real"`, `pid == 1`, `comm == "cupsd"`, `apparmor == "DENIED"`, `field("comm") == "cupsd"`}},
		{`USER pid=1 uid=0 auid=2 text="a msg='op=evil res=1" msg='op=good res=0'`, []string{`op == "good"`, `msg.op == "good"`, `failed`}},
		{`USER pid=1 uid=0 auid=2 text="a msg='op=evil res=1" res=0`, []string{`op == ""`, `failed`, `msg.op == ""`}},
		{`DAEMON_ERR op=x text="a auid=7 key="evil" auid=8 res=failed`, []string{`auid == 7`, `failed`}}, // the quote does not end
		{`NEWTYPE op=x text="a auid=7" auid=8 key="k"`, []string{`auid == 8`, `key == "k"`}},
		{`USER_CMD pid=1 auid=1 msg='cwd="/a b" cmd="x res=success" res=failed'`, []string{`failed`, `cwd == "/a b"`, `cmd == "x res=success"`}},
	} {
		of := event(c.body)
		for _, src := range c.srcs {
			if !kept(t, src, of) {
				t.Errorf("%s does not hold for %s", src, c.body)
			}
			if kept(t, "not ("+src+")", of) {
				t.Errorf("not (%s) holds for %s", src, c.body)
			}
		}
	}
}

// TestValuesOfJSONCanBeComparedWith: what json writes for a value without a name can be compared with.
func TestValuesOfJSONCanBeComparedWith(t *testing.T) {
	for src, of := range map[string][]string{
		`errno == "ERESTARTSYS"`:                event(`SYSCALL arch=c000003e syscall=0 success=no exit=-512`),
		`errno in ["EINTR", "ERESTARTNOHAND"]`:  event(`SYSCALL arch=8 syscall=4003 success=no exit=-514`),
		`errno == "EWOULDBLOCK" or errno != ""`: event(`SYSCALL arch=c000003e syscall=0 success=no exit=-11`),
		`arch == "0xc0000099"`:                  event(`SYSCALL arch=c0000099 syscall=0 success=yes exit=0`),
		`arch in ["x86_64", "0xb7"]`:            event(`SYSCALL arch=b7 syscall=0 success=yes exit=0`),
	} {
		if !kept(t, src, of) {
			t.Errorf("%s does not hold for %s", src, of)
		}
	}
	for _, src := range []string{`arch == "0xc000003e"`, `arch == "0xno"`, `arch == "0x"`, `errno == "ERESTARTSYSS"`} {
		if _, err := Compile(src); err == nil {
			t.Errorf("%s is no error", src)
		}
	}
}
