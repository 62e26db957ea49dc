package laurel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRandomAsLaurel: whatever record laurel takes, we make the same of it. The
// records are put together at random from what records are made of and what breaks them; a
// NUL is not among it, because laurel 0.5.1 falls over it (see testdata/records.golden).
func TestRandomAsLaurel(t *testing.T) {
	const n = 10_000
	rng := rand.New(rand.NewPCG(4, 51))
	var lines []byte
	for serial := range n {
		types := []string{"ANOM_ABEND", "SYSCALL", "USER_AUTH", "AVC", "PATH", "SOCKADDR", "CWD", "MAC_UNLBL_ALLOW",
			"MAC_POLICY_LOAD", "PROCTITLE", "USER_AVC", "CONFIG_CHANGE", "EXECVE"}
		name := types[rng.IntN(len(types))]
		lines = fmt.Appendf(lines, "type=%s msg=audit(1700000000.%03d:%d): ", name, rng.IntN(1000), serial)
		lines = appendRandom(lines, rng, name)
		lines = append(lines, '\n')
	}
	p := runLaurel(t, lines)
	if p.crashed {
		t.Fatal("laurel fell over a record without a NUL and with more than two fields")
	}
	got := make(map[string]any)
	for _, event := range decodeAll(t, encode(t, lines)) {
		got[nodeID(event)] = event
	}
	if len(got) != n {
		t.Errorf("%d events of %d", len(got), n)
	}
	bad := 0
	for _, want := range p.events {
		dropContext(want)
		if d := cmp.Diff(any(want), got[nodeID(want)]); d != "" {
			if bad++; bad < 20 {
				line, _, _ := bytes.Cut(lines[bytes.Index(lines, []byte("audit("+want["ID"].(string)+")")):], []byte("\n"))
				t.Errorf("%q (-laurel +ours):\n%s", line, d)
			}
		}
	}
	if len(p.events)+len(p.refused) != n || len(p.events) < n/4 || len(p.refused) < n/20 {
		t.Errorf("laurel took %d and refused %d of %d", len(p.events), len(p.refused), n)
	}
	t.Logf("laurel took %d and refused %d; %d differ", len(p.events), len(p.refused), bad)
}

// appendRandom appends the body of a record.
func appendRandom(dst []byte, rng *rand.Rand, name string) []byte {
	keys := strings.Fields("a uid auid subj obj pid mode arch cap_fp key comm exe msg old exit val res dev saddr cwd name proctitle a-b c_d uuid x1 SADDR UID ID")
	if name != "SYSCALL" { // there it is ours
		keys = append(keys, "ARGV")
	}
	values := []string{"1", "0", "-13", "+5", "007", "08", "4294967295", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "18446744073709551615", "ffffffffffffffff", "1ffffffffffffffff", "000000000000000000ff", "0x1f", "abc", "abcd", "C3A9", "FF",
		"", "?", "(null)", "(none)", "\"\"", "\"x\"", "\"a b\"", "\"a'b\"", "\"\xc3\xa9\xff\"", "\"a=b c=d\"", "''", "'x y'",
		"'a=b c=\"d e\"'", "'a=\"it's\" b=1'", "'a={x y} b='", "{}", "{x}", "{ x }", "{ a=b }", "{ a=b c='d e' }",
		"{ a=\"}\" b= }", "{ a=} }", "{ a=b }}", "x{y", "x}y", "x'y", "x\"y", "x|y~z!", "%41+b\\", "a\x7fb", "\xe9", "é", "=x", "x=y=z",
		"/usr/bin/x (enforce)", "=a (b_1)", "x (1)", "x (a", "/{,usr/}x", "-", "+", "--1", "1-", "0b", "x\ty"}
	seps := []string{" ", " ", " ", " ", " ", " ", "\x1d", "  ", " \x1d", "\t", ","}
	if rng.IntN(3) == 0 {
		// What may open a quote or a brace that is not closed. laurel looks for the end even
		// after auditd's separator, where we do not.
		values = append(values, "\"a\"b", "\"", "'", "'o'brien'", "'a=b'c", "{", "7 ")
		seps = []string{" ", " ", " ", "  "}
	}
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	switch {
	case name == "EXECVE":
		dst = fmt.Appendf(dst, "argc=%d", rng.IntN(4))
		for i := range rng.IntN(4) {
			dst = fmt.Appendf(dst, " a%d=%s", i, pick([]string{`"x"`, `""`, "6162", "00", `"a+b%"`, "E282", "(null)"}))
		}
		return dst
	case name == "PROCTITLE": // laurel shows no other field of it
		return append(append(dst, "proctitle="...), pick(values)...)
	case name == "SYSCALL":
		dst = append(dst, "arch=c000003e syscall=2 success=no a0=1 a1=7ffe a2=fffffffffffffffff a3=0 "...)
	case rng.IntN(8) == 0:
		dst = append(dst, pick([]string{"avc:  denied  { read } for  ", "avc: granted {read a_b}for ", "avc:  denied  { } for  ", "avc:  denied  { x-y } for ",
			"netlabel: ", "netlabel:", "policy loaded ", "avc: netlabel: ", "avc:\tdenied { 1 } for", " ", "netlabel: policy loaded "})...)
	}
	for i := range 1 + rng.IntN(4) {
		if i > 0 {
			dst = append(dst, pick(seps)...)
		}
		dst = append(append(append(dst, pick(keys)...), '='), pick(values)...)
	}
	if rng.IntN(20) == 0 {
		dst = append(dst, pick(seps)...)
	}
	return dst
}
