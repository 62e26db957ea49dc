package replay

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/filter"
	eventjson "audisp-relay/format/json"
)

// explain explains what a filter does with lines.
func explain(t *testing.T, filter string, lines ...string) *Explained {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x, _, err := Explain(context.Background(), Stored{Inputs: []string{in}, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestExplainKeepsToANumberOfNames: programs of ever new names do not fill the memory, and all are counted.
func TestExplainKeepsToANumberOfNames(t *testing.T) {
	const more = 10
	var lines []string
	for i := range maxNames + more {
		lines = append(lines, fmt.Sprintf(`type=USER_LOGIN msg=audit(1.000:%d): pid=1 uid=0 msg='exe="/x%d" res=failed'`, i+1, i))
	}
	x := explain(t, "", lines...)
	if n := len(x.ByExe); n != maxNames+1 || x.ByExe[otherNames].Events != more || x.Events != maxNames+more {
		t.Errorf("%d programs, %+v of others, %d events", n, x.ByExe[otherNames], x.Events)
	}
}

func TestExplainCountsAndGivesReasons(t *testing.T) {
	lines := []string{
		`type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=59 success=yes exit=0 auid=1000 uid=0 exe="/bin/a" key="exec"`, "type=EOE msg=audit(1.000:1): ",
		`type=SYSCALL msg=audit(1.000:2): arch=c000003e syscall=59 success=yes exit=0 auid=4294967295 uid=0 exe="/bin/a" key="exec"`, "type=EOE msg=audit(1.000:2): ",
		`type=SYSCALL msg=audit(1.000:3): arch=c000003e syscall=2 success=no exit=-13 auid=1000 uid=0 exe="/bin/b" key=657865630166696D`, "type=EOE msg=audit(1.000:3): ",
		`type=SYSCALL msg=audit(1.000:4): arch=c000003e syscall=2 success=yes exit=3 auid=1000 uid=0 exe=2F62696E2F1B key=(null)`, "type=EOE msg=audit(1.000:4): ",
		`type=USER_LOGIN msg=audit(1.000:5): pid=1 uid=0 auid=1000 ses=1 msg='op=login acct="x" exe="/usr/sbin/sshd" res=failed'`,
		"no record at all",
	}
	x := explain(t, `key == "exec" && auid != unset && not (syscall == "open")`, lines...)
	if x.Events != 6 || x.Kept != 2 || x.Records != 10 || x.Failed != 0 || x.Unread != 1 {
		t.Errorf("%+v", x.Volume)
	}
	want := map[string]string{ // event of the example
		`key == "exec"`:     "1.000:4",
		`auid != unset`:     "1.000:2",
		`syscall == "open"`: "1.000:3",
	}
	left := uint64(0)
	for expr, r := range x.LeftOut {
		if want[expr] != r.First || r.Value != strings.Contains(expr, "open") {
			t.Errorf("%s: %+v", expr, r)
		}
		delete(want, expr)
		left += r.Events
	}
	if len(want) > 0 || left+x.Kept != x.Events {
		t.Errorf("no reason %v; %d left out", want, left)
	}
	for _, c := range []struct {
		of     map[string]*Volume
		name   string
		events uint64
		kept   uint64
	}{
		{x.ByKey, "exec", 3, 1}, {x.ByKey, "fim", 1, 0}, {x.ByKey, "(none)", 3, 1},
		{x.ByType, "SYSCALL execve", 2, 1}, {x.ByType, "SYSCALL open", 2, 0}, {x.ByType, "USER_LOGIN", 1, 0}, {x.ByType, "(none)", 1, 1},
		{x.ByExe, "/bin/a", 2, 1}, {x.ByExe, "/usr/sbin/sshd", 1, 0}, {x.ByExe, "/bin/\x1b", 1, 0},
	} {
		if v := c.of[c.name]; v == nil || v.Events != c.events || v.Kept != c.kept {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	var out bytes.Buffer
	if err := x.WriteText(&out); err != nil || !strings.Contains(out.String(), "2 kept (33.3 %) by key == ") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestExplainAgrees: it keeps what Replay with the same filter delivers.
func TestExplainAgrees(t *testing.T) {
	const capture = "../../testdata/captures/audit-3.0.9-enriched.string.gz"
	for _, filter := range []string{"", `key in ["exec", "net"]`, `auid == unset`, `path_under("/etc") or type == "USER_AUTH"`} {
		x, _, err := Explain(context.Background(), Stored{Inputs: []string{capture}, Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		ctx, fail := context.WithCancelCause(context.Background())
		defer fail(nil)
		to := WriterSink(&out, eventjson.Kind, nil, fail)
		to.Inputs, to.Filter = []string{capture}, filter
		done, err := Run(ctx, to)
		if err != nil {
			t.Fatal(err)
		}
		if lines := uint64(bytes.Count(out.Bytes(), []byte("\n"))); x.Kept != lines || x.Kept == 0 || (x.Kept == x.Events) != (done.Filtered == 0) {
			t.Errorf("%q: %d of %d events kept, %d delivered, %d records left out", filter, x.Kept, x.Events, lines, done.Filtered)
		}
	}
}

// TestExplainSeesWhatFiltersSee: a key or executable that explain lists is one that a filter
// on it keeps the event for, whatever a program has written into its record.
func TestExplainSeesWhatFiltersSee(t *testing.T) {
	texts := []string{`op=x key="msgkey" exe="/bin/msg" res=success`, "op=x'\x1dkey=\"forged\" exe=\"/bin/forged\"", "op=x' key=\"later\" \x1dUID=\"root\"'\x1dAUID=\"x\"", `key=6D exe=2F62`, ``, `'"key="q`, "\x1d'\x1dkey=\"a\"\x1d"}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom(texts).Draw(rt, "text") + rapid.SampledFrom([]string{"", " ", "\x1d", `"`, "'"}).Draw(rt, "more")
		lines := []string{
			"type=" + rapid.SampledFrom([]string{"USER_CMD", "SERVICE_START", "CKADDR", "CONFIG_CHANGE", "AVC"}).Draw(rt, "type") + ` msg=audit(1.000:1): pid=1 uid=0 ` +
				rapid.SampledFrom([]string{"", `key="own" `, `exe="/bin/own" `}).Draw(rt, "own") + "msg='" + text + "'" + rapid.SampledFrom([]string{"", "\x1dUID=\"root\""}).Draw(rt, "names"),
		}
		if rapid.Bool().Draw(rt, "call") {
			lines = append(lines, `type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=44 success=yes exe="/bin/call" key=`+rapid.SampledFrom([]string{`(null)`, `"call"`, `610162`}).Draw(rt, "key"))
		}
		b := audittest.Lines(t, strings.Join(lines, "\n")+"\n")
		var x explainer
		_, exe, keys := x.describe(b, 0, len(b.Recs))
		if exe == "(none)" {
			exe = ""
		}
		if keys[0] == "(none)" {
			keys[0] = ""
		}
		srcs := []string{fmt.Sprintf("exe == %q", exe)}
		for _, key := range keys {
			srcs = append(srcs, fmt.Sprintf("key == %q", key))
		}
		for _, src := range srcs {
			f, err := filter.Compile(src)
			if err != nil {
				rt.Skip(err)
			}
			if keep, err := f.New().Keep(b, 0, len(b.Recs)); !keep || err != nil {
				rt.Fatalf("%s: %v, %v\n%q", src, keep, err, lines)
			}
		}
		for _, key := range []string{"msgkey", "forged", "later", "own", "call", "m", "q", "a"} {
			f, _ := filter.Compile(fmt.Sprintf("key == %q", key))
			if keep, _ := f.New().Keep(b, 0, len(b.Recs)); keep != strings.Contains("\x00"+strings.Join(keys, "\x00")+"\x00", "\x00"+key+"\x00") {
				rt.Fatalf("key %s: kept %v, listed %q\n%q", key, keep, keys, lines)
			}
		}
	})
}

// TestReplayAsksRules: the filter can ask for them, and events carry them.
func TestReplayAsksRules(t *testing.T) {
	set, errs, _ := filter.NewRules(map[string]string{"of root": `uid == 0`, "execs": `type == "EXECVE"`})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var out bytes.Buffer
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	to := WriterSink(&out, eventjson.Kind, set, fail)
	to.Inputs, to.Filter = []string{"../../testdata/captures/audit-3.0.9-enriched.string.gz"}, `"execs" in rules`
	if _, err := Run(ctx, to); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		if strings.Count(line, `"rules":["execs"`) != 1 || !strings.Contains(line, `"args":[`) {
			t.Errorf("%s", line)
		}
	}
	if n == 0 {
		t.Error("no event")
	}

	x, _, err := Explain(context.Background(), Stored{Inputs: to.Inputs, Filter: to.Filter, Rules: set})
	if err != nil || x.Kept != uint64(n) {
		t.Errorf("%d events kept, %d delivered, %v", x.Kept, n, err)
	}
}
