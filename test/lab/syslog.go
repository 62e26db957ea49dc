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
	"path/filepath"
	"strconv"
	"strings"
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
	if err != nil {
		t.Fatalf("%v", err)
	}
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
		if err := restore(); err != nil {
			t.Fatalf("restore %s: %v", DevLog, err)
		}
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
	Wait(t, 10*time.Second, socket, func() (bool, string) {
		_, err := os.Stat(socket)
		return err == nil, fmt.Sprint(err)
	})
	p := StartProcess(t, "socat", "-u", "-b65536", "UNIX-CONNECT:"+socket, "OPEN:"+file+",creat,append")
	// socat opens the file after it has connected.
	Wait(t, 10*time.Second, "socat to connect to "+socket, func() (bool, string) {
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
	Wait(t, 10*time.Second, p.name+" to make "+path, func() (bool, string) {
		select {
		case <-p.Exited():
			return false, p.name + " has ended: " + p.Stderr()
		default:
		}
		fi, err := os.Lstat(path)
		return err == nil && fi.Mode()&fs.ModeSocket != 0, fmt.Sprint(err)
	})
}

// RsyslogOptions say what an rsyslogd listens to. Inputs left out are off.
type RsyslogOptions struct {
	Socket string // unix datagram socket; /dev/log is given back afterwards
	UDP    bool   // on 127.0.0.1, see UDPAddr
	TCP    bool   // on 127.0.0.1, see TCPAddr; octet counting and line framing
	// Template of an output line, in rsyslog's syntax; default is "%rawmsg%\n",
	// the message as it came. Control characters are not escaped.
	Template string
}

// Rsyslogd is a running rsyslogd with a configuration of its own: no rate
// limit, messages of up to 64 KiB, nothing queued beyond what it is writing.
type Rsyslogd struct {
	*Process
	Output  string // the file all messages go to
	UDPAddr string
	TCPAddr string
}

// StartRsyslogd runs rsyslogd until the test ends or Stop, and returns when it listens.
// With Socket /dev/log, call it before Start.
func StartRsyslogd(t TB, o RsyslogOptions) *Rsyslogd {
	t.Helper()
	RequireTools(t, "rsyslogd")
	if o.Socket == DevLog {
		claimDevLog(t)
	}
	dir := tempDir(t)
	r := &Rsyslogd{Output: filepath.Join(dir, "messages")}
	conf := fmt.Sprintf("global(workDirectory=%q maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"off\")\n"+
		"main_queue(queue.type=\"Direct\")\n"+
		"template(name=\"lab\" type=\"string\" string=%q)\n", dir, pickString(o.Template, "%rawmsg%\n"))
	if o.Socket != "" {
		conf += "module(load=\"imuxsock\" SysSock.Use=\"off\")\n" +
			fmt.Sprintf("input(type=\"imuxsock\" Socket=%q RateLimit.Interval=\"0\")\n", o.Socket)
	}
	if o.UDP {
		port := FreePort(t, "udp")
		r.UDPAddr = net.JoinHostPort("127.0.0.1", port)
		conf += "module(load=\"imudp\")\n" + fmt.Sprintf("input(type=\"imudp\" address=\"127.0.0.1\" port=%q)\n", port)
	}
	if o.TCP {
		port := FreePort(t, "tcp")
		r.TCPAddr = net.JoinHostPort("127.0.0.1", port)
		conf += "module(load=\"imtcp\" maxFrameSize=\"65536\")\n" +
			fmt.Sprintf("input(type=\"imtcp\" address=\"127.0.0.1\" port=%q)\n", port)
	}
	conf += fmt.Sprintf("action(type=\"omfile\" file=%q template=\"lab\")\n", r.Output)
	confFile := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(confFile, []byte(conf), 0o600); err != nil {
		t.Fatalf("configure rsyslogd: %v", err)
	}
	r.Process = StartProcess(t, "rsyslogd", "-n", "-f", confFile, "-i", filepath.Join(dir, "pid"))
	r.await(o)
	return r
}

// await returns when every input listens. It looks and does not bind: rsyslogd
// would find its port taken and never try again.
func (r *Rsyslogd) await(o RsyslogOptions) {
	r.t.Helper()
	if o.Socket != "" {
		awaitSocket(r.t, r.Process, o.Socket)
	}
	Wait(r.t, 10*time.Second, "rsyslogd to listen", func() (bool, string) {
		select {
		case <-r.Exited():
			return false, "it has ended: " + r.Stderr()
		default:
		}
		for network, addr := range map[string]string{"tcp": r.TCPAddr, "udp": r.UDPAddr} {
			if addr == "" {
				continue
			}
			there, err := Bound(network, addr)
			if err != nil {
				return false, err.Error()
			}
			if !there {
				return false, "nothing at " + network + " " + addr + "; it says: " + r.Stderr()
			}
		}
		return true, ""
	})
}

// FreePort returns a port of 127.0.0.1 that was free a moment ago. It is below
// the range that outgoing connections take theirs from (ip_local_port_range,
// 32768 and up), so that no other test's connection gets it meanwhile.
func FreePort(t TB, network string) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if canBind(network, net.JoinHostPort("127.0.0.1", port)) {
			return port
		}
	}
	t.Fatalf("find a free port: 100 of 20000 to 32000 are taken")
	return ""
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
