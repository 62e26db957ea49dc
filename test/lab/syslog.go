package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DevLog is where syslog(3) and so every stock plugin writes.
const DevLog = "/dev/log"

// devLogLock is held by whoever has put a socket of its own at DevLog. Lock
// order: this one before LockFile, so take /dev/log before Start.
const devLogLock = "/run/audisp-relay-lab-devlog.lock"

// claimDevLog moves what is at /dev/log aside until the test ends.
func claimDevLog(t TB) {
	t.Helper()
	lockFile, err := lock(devLogLock)
	Check(t, err, "lock")
	const saved = DevLog + ".lab-saved"
	restore := func() error {
		if err := os.Remove(DevLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(saved, DevLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}

	t.Cleanup(func() {
		if err := restore(); err != nil {
			t.Errorf("restore %s: %v", DevLog, err)
		}
		lockFile.Close()
	})
	if _, err := os.Lstat(saved); err == nil {
		// Left by a test that was killed.
		Check(t, restore(), "restore %s", DevLog)
	}
	if err := os.Rename(DevLog, saved); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("move %s aside: %v", DevLog, err)
	}
}

// DrainDevLog puts a socket at /dev/log and lets socat write all datagrams to
// file, one after the other with nothing between them. What was at /dev/log
// comes back when the test ends. Call it before Start.
func DrainDevLog(t TB, file string) *Process {
	t.Helper()
	claimDevLog(t)
	return DrainDatagrams(t, DevLog, file)
}

// DrainDatagrams lets socat receive datagrams at a unix socket and write them
// to file.
func DrainDatagrams(t TB, socket, file string) *Process {
	t.Helper()
	p := StartProcess(t, "socat", "-u", "-b65536", "UNIX-RECV:"+socket, "OPEN:"+file+",creat,append")
	awaitSocket(t, p, socket)
	return p
}

// Follow lets socat connect to a unix stream socket, once it is there, and
// write what comes to file.
func Follow(t TB, socket, file string) *Process {
	t.Helper()
	Wait(t, 30*time.Second, socket, func() (bool, string) {
		_, err := os.Stat(socket)
		return err == nil, fmt.Sprint(err)
	})
	p := StartProcess(t, "socat", "-u", "-b65536", "UNIX-CONNECT:"+socket+",retry=100,interval=0.05", "OPEN:"+file+",creat,append")
	// socat is refused until the program listens, and opens the file after it has connected.
	Wait(t, 30*time.Second, "socat to connect to "+socket, func() (bool, string) {
		select {
		case <-p.Exited():
			return false, p.Stderr()
		default:
		}
		_, err := os.Stat(file)
		return err == nil, fmt.Sprint(err)
	})
	return p
}

func awaitSocket(t TB, p *Process, path string) {
	t.Helper()
	Wait(t, 30*time.Second, p.name+" to make "+path, func() (bool, string) {
		select {
		case <-p.Exited():
			return false, p.name + " has ended: " + p.Stderr()
		default:
		}
		fi, err := os.Lstat(path)
		return err == nil && fi.Mode()&fs.ModeSocket != 0, fmt.Sprint(err)
	})
}

// handedOut has what FreePort has returned: a server that is away for a moment keeps its port.
var handedOut sync.Map

// FreePort returns a port of 127.0.0.1 that was free a moment ago, each once. It is below
// the range that outgoing connections take theirs from (ip_local_port_range,
// 32768 and up), so that no other test's connection gets it meanwhile.
func FreePort(t TB, network string) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if !canBind(network, net.JoinHostPort("127.0.0.1", port)) {
			continue
		}
		if _, twice := handedOut.LoadOrStore(network+port, true); !twice {
			return port
		}
	}
	t.Fatalf("find a free port: 100 of 20000 to 32000 are taken")
	return ""
}

// FreePorts returns n TCP ports as FreePort does.
func FreePorts(t TB, n int) (ports []int) {
	t.Helper()
	for range n {
		port, err := strconv.Atoi(FreePort(t, "tcp"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		ports = append(ports, port)
	}
	return ports
}

func canBind(network, addr string) bool {
	var c io.Closer
	var err error
	if network == "udp" {
		c, err = net.ListenPacket("udp", addr)
	} else {
		c, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Bound reports whether a socket has the IPv4 address, as /proc/net says
// (proc_net_tcp.rst in the kernel's documentation): for TCP one that listens.
func Bound(network, addr string) (bool, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return false, err
	}
	ip := ap.Addr().As4()
	state := "07" // a UDP socket that is not connected
	if network == "tcp" {
		state = "0A" // TCP_LISTEN
	}
	want := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), ap.Port())
	b, err := os.ReadFile("/proc/net/" + network)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == want && f[3] == state {
			return true, nil
		}
	}
	return false, nil
}
