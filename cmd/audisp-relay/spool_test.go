package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/queue/spool"
)

// spoolOf stores frames of two records each in state/spool/name and returns all
// records as lines.
func spoolOf(t *testing.T, state, name string, frames int) (lines string) {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: filepath.Join(state, "spool", name), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(frames) {
		text := fmt.Sprintf("type=CWD msg=audit(1.000:%d): cwd=\"/\"\naudit(1.000:%d): v0", i, i)
		cut := uint32(strings.Index(text, "\n") + 1)
		b := record.Batch{Buf: []byte(text), Recs: []record.Record{
			{Len: cut, Type: 1307, Serial: i, Millis: 1000},
			{Off: cut, Len: uint32(len(text)) - cut, Type: 1300, Serial: i, Millis: 1000, Kind: record.Ver0},
		}}
		if _, err := s.Append(uint64(i)*2+1, &b); err != nil {
			t.Fatal(err)
		}
		lines += text[:cut] + "type=SYSCALL msg=" + text[cut:] + "\n"
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// runSpool runs the command and returns what it prints and its exit code.
func runSpool(t *testing.T, args ...string) (out, notes string, code int) {
	t.Helper()
	cmd := newSpoolCmd()
	var o, n bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(&n)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	var exit exitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.code
	default:
		code = 1
		n.WriteString(err.Error())
	}
	return o.String(), n.String(), code
}

func TestSpoolList(t *testing.T) {
	state := t.TempDir()
	a, b := spoolOf(t, state, "a", 3), spoolOf(t, state, "b", 1)
	out, notes, code := runSpool(t, "--state-dir", state)
	for _, want := range []string{
		state + "/spool/a: 1 segment, ", "3 frames, 6 records\n", "records 1 to 6, end of an orderly run\n",
		"    at 84: 2 records from 1 on, 1 event, serials 0 to 0, ", ": 2 records from 5 on, 1 event, serials 2 to 2, ",
		state + "/spool/b: 1 segment, ", "1 frame, 2 records\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if notes != "" || code != 0 {
		t.Errorf("exit %d, %q", code, notes)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{a, []string{"a"}}, {b, []string{filepath.Join(state, "spool", "b")}}, {b + a, []string{"b", "a"}}, {a + b, nil},
	} {
		out, notes, code := runSpool(t, append(tt.args, "--dump", "--state-dir", state)...)
		if out != tt.want || notes != "" || code != 0 {
			t.Errorf("%v: exit %d, %q\ngot %q\nwant %q", tt.args, code, notes, out, tt.want)
		}
	}
}

// TestSpoolDamage: what is damaged is said, with or without the records, and
// nothing in the directory changes.
func TestSpoolDamage(t *testing.T) {
	state := t.TempDir()
	lines := strings.SplitAfter(spoolOf(t, state, "a", 4), "\n")
	dir := filepath.Join(state, "spool", "a")
	names, err := filepath.Glob(dir + "/*.seg")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	size := (len(data) - 2*84) / 4
	data[84+size-1] ^= 1    // text of the first frame
	data[84+2*size+20] ^= 1 // header of the third
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/stray\n", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code := runSpool(t, "--state-dir", state, "a")
	for _, want := range []string{
		"checksum does not match\n", "  missing: 2 records from 5 on\n", `not the spool's: "stray\n"`,
		fmt.Sprintf("  damage: 1 frame with 2 records missing, %d bytes skipped\n", size),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	out, notes, code := runSpool(t, "--dump", "--state-dir", state, "a")
	if want := strings.Join(append(lines[2:4:4], lines[6:8]...), ""); out != want || code != 1 {
		t.Errorf("exit %d\ngot %q\nwant %q", code, out, want)
	}
	if !strings.Contains(notes, "2 records from 1 on cannot be read") || !strings.Contains(notes, "missing: 2 records from 5 on") {
		t.Errorf("notes: %q", notes)
	}
	if after, err := os.ReadFile(names[0]); err != nil || !bytes.Equal(after, data) {
		t.Error("the file was changed")
	}
}

func TestSpoolSaysWhereNothingIsStored(t *testing.T) {
	state := t.TempDir()
	for _, args := range [][]string{nil, {"nobody"}, {state + "/x"}} {
		out, notes, code := runSpool(t, append(args, "--state-dir", state)...)
		if code != 1 || out != "" || !strings.Contains(notes, "nothing was ever stored there") || strings.Contains(notes, "\n") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, notes)
		}
	}
}
