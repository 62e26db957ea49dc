package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/host/broker"
)

// TestGivingThatTakesLong holds up neither another request of the worker's nor a reload, and what a reload brings is given after it.
func TestGivingThatTakesLong(t *testing.T) {
	was := broker.User
	broker.User = "nobody"
	t.Cleanup(func() { broker.User = was })
	if _, _, err := broker.Account(); err != nil {
		t.Skip(err)
	}
	text := "run_dir = \"DIR/run\"\nstate_dir = \"DIR/state\"\n" + deadLetters
	before, dir := deskFor(t, text)
	<-before.giving
	p := before.p
	given, goOn := make(chan string, 100), make(chan struct{})
	p.giveState = func(dir string, _, _ int) error {
		given <- dir
		<-goOn
		return nil
	}
	d := newDesk(p)
	t.Cleanup(d.Close)
	load := func() <-chan struct{} {
		return inBackground(func() {
			a, err := d.Serve(broker.NewCall(config.ConfigItem, config.OpLoad, ""))
			if err != nil {
				t.Error(err)
				return
			}
			unix.Close(a.FDs[0])
		})
	}

	loading := load()
	if got := <-given; got != filepath.Join(dir, "state") {
		t.Errorf("%s is given", got)
	}
	asked := inBackground(func() { d.Serve(broker.NewCall(controlItem, opThere, "")) })
	select {
	case <-asked:
	case <-loading:
		t.Error("another request waits for that")
	}
	<-loading // it has waited long enough
	more := strings.ReplaceAll(text+"dead_letter_dir = \"DIR/letters\"\n", "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "relay.toml"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	<-load()
	close(goOn)
	<-d.giving
	close(given)
	found := false
	for got := range given {
		found = found || got == filepath.Join(dir, "letters")
	}
	if !found {
		t.Error("what the reload has brought is not given")
	}
}
