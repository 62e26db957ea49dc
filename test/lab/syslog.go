package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
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
		port := freePort(t, "udp")
		r.UDPAddr = net.JoinHostPort("127.0.0.1", port)
		conf += "module(load=\"imudp\")\n" + fmt.Sprintf("input(type=\"imudp\" address=\"127.0.0.1\" port=%q)\n", port)
	}
	if o.TCP {
		port := freePort(t, "tcp")
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

// await returns when every input listens.
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
			if _, err := bind(network, addr); err == nil {
				return false, "nothing at " + network + " " + addr
			}
		}
		return true, ""
	})
}

// freePort returns a port that was free a moment ago.
func freePort(t TB, network string) string {
	t.Helper()
	addr, err := bind(network, "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return port
}

// bind takes an address for a moment. It fails where someone else has it: a
// probe that sends nothing, because the daemon would take that for a message.
func bind(network, addr string) (bound string, err error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String(), nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
