package engine

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"audisp-relay/test/lab"
)

// Network is a network namespace with a cable to this host, for servers that a test cuts off.
type Network struct {
	Address string // of the servers' end
	t       testing.TB
	name    string // of the namespace
	far     string // the servers' end
}

// NewNetwork makes a network namespace, which is gone after the test. It needs root; where none
// can be made the test is skipped, unless AUDISP_REQUIRE_AUDITD is 1.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	id := os.Getpid() % 100_000
	near := fmt.Sprintf("arn%d", id) // 15 letters at most
	// 198.18.0.0/15 is for tests of networks (RFC 2544).
	subnet := fmt.Sprintf("198.18.%d", id%250+1)
	n := &Network{Address: subnet + ".2", t: t, name: fmt.Sprintf("audisp-relay-test-%d", id), far: fmt.Sprintf("arf%d", id)}

	t.Cleanup(func() {
		_, _ = ip("link", "delete", near) // the other end goes with it
		_, _ = ip("netns", "delete", n.name)
	})

	for _, args := range []string{
		"netns add " + n.name,
		"link add " + near + " type veth peer name " + n.far + " netns " + n.name,
		"address add " + subnet + ".1/24 dev " + near,
		"link set " + near + " up",
		"-n " + n.name + " address add " + n.Address + "/24 dev " + n.far,
		"-n " + n.name + " link set " + n.far + " up",
		"-n " + n.name + " link set lo up",
	} {
		if out, err := ip(strings.Fields(args)...); err != nil {
			lab.Missing(t, "ip %s: %v: %s", args, err, out)
		}
	}
	return n
}

// Cut takes the network away: what is sent is dropped, and no connection ends.
func (n *Network) Cut() { n.set("down") }

// Restore brings it back.
func (n *Network) Restore() { n.set("up") }

func (n *Network) set(state string) {
	n.t.Helper()
	if out, err := ip("-n", n.name, "link", "set", n.far, state); err != nil {
		n.t.Fatalf("ip link set %s %s: %v: %s", n.far, state, err, out)
	}
}

func ip(args ...string) ([]byte, error) { return exec.Command("ip", args...).CombinedOutput() }
