package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestRulesOnLaterParts: arguments that come in a later part of an event are asked for together with what the first part has said.
func TestRulesOnLaterParts(t *testing.T) {
	set, errs, _ := NewRules(map[string]string{
		"evil":    `type == "EXECVE" and iends(exe, "/curl") and icontains(cmdline, "http://evil")`,
		"one":     `uid == 5 and any(args, # == "http://evil") and args[90000] == "http://evil" and args[5] == ""`,
		"no call": `exe == ""`,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	call := func(serial int, node string) string {
		return fmt.Sprintf(`%stype=SYSCALL msg=audit(1000.000:%d): arch=c000003e syscall=59 success=yes exit=0 uid=5 exe="/usr/bin/curl" key=(null)`, node, serial)
	}
	execve := func(serial int, node, args string) string {
		return fmt.Sprintf(`%stype=EXECVE msg=audit(1000.000:%d): %s`, node, serial, args)
	}
	const begin, end = `argc=90001 a0="curl" a1="-s"`, ` a90000="http://evil"`
	l := lines(t,
		call(1, ""), execve(1, "", begin), // 0, 1
		execve(1, "", end),              // 2
		call(2, ""), execve(2, "", end), // 3, 4
		execve(3, "", end),                              // 5
		execve(1, "node=a ", end),                       // 6
		call(3, "node=a "), execve(3, "node=a ", begin), // 7, 8
		execve(3, "node=a ", end), // 9
	)
	for _, last := range []int{1, 2, 5, 6, 8, 9} {
		l.batch.Recs[last].Flags |= record.End | record.Partial
	}
	rules := set.New()
	for _, c := range []struct {
		from, to int
		want     []string
	}{
		{0, 2, nil}, {3, 5, []string{"evil", "one"}}, {2, 3, []string{"evil", "one"}}, {5, 6, []string{"no call"}}, {6, 7, []string{"no call"}},
		{7, 9, nil}, {9, 10, []string{"evil", "one"}}, {2, 3, []string{"evil", "one"}},
	} {
		if got := rules.Match(&l.batch, c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("records %d to %d: %q, want %q", c.from, c.to-1, got, c.want)
		}
	}
}

// TestRulesOverParts: the words that a rule looks for may be in several parts of one event, and in no others.
func TestRulesOverParts(t *testing.T) {
	set, errs, _ := NewRules(map[string]string{
		"both": `type == "EXECVE" and icontains(cmdline, "-d") and icontains(cmdline, "base64 ")`, "not": `icontains(cmdline, "evil") and not icontains(cmdline, "base64 ")`,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	part := func(serial int, records ...string) (out []string) {
		for _, r := range records {
			typ, fields, _ := strings.Cut(r, " ")
			out = append(out, fmt.Sprintf("type=%s msg=audit(1000.000:%d): %s", typ, serial, fields))
		}
		return out
	}
	const call, begin, middle, end = `SYSCALL arch=c000003e syscall=59 success=yes exit=0 exe="/usr/bin/base64"`, `EXECVE argc=90001 a0="base64" a1="-i"`, `EXECVE a50000="-d"`, `EXECVE a90000="evil"`
	l := lines(t, slices.Concat(part(1, call, begin), part(1, middle), part(2, call, middle), part(1, end), part(2, end), part(3, call, middle))...)
	rules := set.New()
	for n, part := range []struct {
		from, to int // the records of an event lie together
		want     []string
	}{{0, 2, nil}, {2, 3, []string{"both"}}, {4, 6, nil}, {3, 4, []string{"both"}}, {6, 7, []string{"not"}}, {7, 9, nil}} {
		l.batch.Recs[part.to-1].Flags |= record.End | record.Partial
		if got := rules.Match(&l.batch, part.from, part.to); !slices.Equal(got, part.want) {
			t.Errorf("part %d: %q, want %q", n, got, part.want)
		}
	}
	l.batch.Recs[2].Flags &^= record.Partial // an event by itself
	if got := rules.Match(&l.batch, 2, 3); len(got) > 0 {
		t.Errorf("a whole event has what another had: %q", got)
	}
}
