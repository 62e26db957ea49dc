package test

import (
	"os/exec"
	"testing"
	"time"

	"audisp-relay/test/lab"
)

// TestLiveUpgrade: under each auditd the program is replaced under a steady load, as
// packages do it; a lossless file has each record of audit.log once, and no loss is reported.
func TestLiveUpgrade(t *testing.T) {
	lab.Require(t)
	for _, suite := range []string{"", lab.Trixie, lab.Sid} {
		root := ""
		if suite != "" {
			root = lab.Root(t, suite)
		}
		t.Run("auditd of "+suite, func(t *testing.T) { liveUpgrade(t, root) })
	}
}

func liveUpgrade(t *testing.T, root string) {
	var program string
	o := lab.Options{Root: root, Conf: map[string]string{"max_restarts": "1000"}}
	l := startLiveBehind(t, "loss_markers = true\n"+fileOnly, o, func(p lab.Plugin) lab.Plugin {
		p.Name, program = "audisp-relay", p.Path // the file that install --upgrade looks for
		return p
	})
	l.Drain(l.path("out"))
	load := l.StartLoad(lab.Load{Rate: 4000, Duration: span(4*time.Second, 60*time.Second)})

	upgrades := figure(2, 10)
	for n := range upgrades {
		before := l.PluginPID("audisp-relay")
		replaceFile(t, program)
		if out, err := exec.Command(program, "install", "--upgrade", "--binary", program).CombinedOutput(); err != nil {
			t.Fatalf("upgrade %d: %v\n%s", n, err, out)
		}
		if after := l.PluginPID("audisp-relay"); after == before {
			t.Fatalf("upgrade %d: the old program still runs as pid %d", n, before)
		}
	}

	made := load.Wait().Made
	rep := l.awaitRecovery("", l.path("out"))
	if rep.Missing+rep.Altered+rep.Extra+rep.Duplicate+rep.EOECut > 0 {
		t.Errorf("%v", rep)
	}
	if found := markers(t, l.path("out")); len(found) > 0 {
		t.Errorf("%d losses are reported, the first: %+v", len(found), found[0])
	}
	t.Logf("auditd %s, %d events, %d upgrades; %v", l.Version(), made, upgrades, rep)
	balanced(t, l.relay().consumer("file"))
}
