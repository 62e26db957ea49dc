package ecs

import (
	"fmt"
	"testing"
)

// TestCapabilities: those of the thread are there where a record says exactly which it has.
func TestCapabilities(t *testing.T) {
	const (
		permitted, effective = "process.thread.capabilities.permitted", "process.thread.capabilities.effective"
		old                  = `fver=2 fp=0000000000000009 fi=0 fe=1 old_pp=000001ffffffffff old_pi=0 old_pe=000001ffffffffff old_pa=0 `
		chown, fowner        = "CAP_CHOWN", "CAP_FOWNER"
	)
	exec := sys(59, 0)
	failed := rec("SYSCALL", fmt.Sprintf("arch=c000003e syscall=%d success=no exit=-1 a0=1 a1=2 a2=3 a3=4 items=0 ", 59)+ids+exe)
	fcaps := rec("BPRM_FCAPS", old+`pp=0000000000000009 pi=0 pe=0000000000000001 pa=0 frootid=0`)
	for _, tt := range []struct {
		name, text           string
		permitted, effective any
	}{
		{"an execve", exec + fcaps, []any{chown, fowner}, []any{chown}},
		{"an older kernel", exec + rec("BPRM_FCAPS", old+`new_pp=0000000000000009 new_pi=0 new_pe=0000000000000001`), []any{chown, fowner}, []any{chown}},
		{"none", exec + rec("BPRM_FCAPS", old+`pp=0 pi=0 pe=0 pa=0 frootid=0`), nil, nil},
		{"capset", sys(126, 0) + rec("CAPSET", `pid=2 cap_pi=0 cap_pp=8000010000000000 cap_pe=0000010000000000 cap_pa=0`), []any{"CAP_CHECKPOINT_RESTORE", "63"}, []any{"CAP_CHECKPOINT_RESTORE"}},
		{"a call that has failed", failed + fcaps, nil, nil},
		{"two records", exec + fcaps + fcaps, nil, nil},
		{"no system call", fcaps, nil, nil},
		{"a record that was cut", exec + rec("BPRM_FCAPS", old+`pp=0000000000000009 pi=0 pe=00000000000`), []any{chown, fowner}, nil},
		{"no set", exec + rec("BPRM_FCAPS", old+`pp=x000000000000009 pe="0000000000000001"`), nil, nil},
		{"of a file", sys(257, 1) + rec("PATH", `item=0 name="/x" cap_fp=0000000000000009 cap_fi=0 cap_fe=1 cap_fver=2`), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect{permitted: tt.permitted, effective: tt.effective}.check(t, tt.text, Options{})
		})
	}
}
