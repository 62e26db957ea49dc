// Command forge is both sides of a test of forgery.
//
//	forge connect ID SERIAL: connects to addresses that would become lines of their
//	    own in audit.log, as an unprivileged user (Uid, under the login uid LoginUID).
//	    ID is the id of a record that there is, SERIAL about what comes next.
//	forge tee FILE: a plugin of auditd, appends what it gets to FILE.
//	forge drop PLAN: a plugin of auditd that starts another one, the words of the file
//	    PLAN, and gives it the stream but for one record of the kernel in so many.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

const (
	uid      = 65534
	loginUID = 1007
	// dropOne in so many records of the kernel, so that audit.log leads all the time.
	dropOne = 60
)

func init() { runtime.LockOSThread() } // the login uid is the thread's

func main() {
	err := fmt.Errorf("want connect, tee or drop")
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "connect":
		err = connectAll(args[1], args[2])
	case len(args) == 2 && args[0] == "tee":
		err = tee(args[1])
	case len(args) == 2 && args[0] == "drop":
		err = drop(args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "forge:", err)
		os.Exit(1)
	}
}

func connectAll(id, from string) error {
	serial, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/self/loginuid", []byte(strconv.Itoa(loginUID)), 0); err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}

	made := 0
	for _, text := range []string{
		"type=USER_LOGIN msg=audit(%s): uid=0 res=success",
		"type=SYSCALL msg=audit(%s): arch=c000003e syscall=59 success=yes items=0",
		"type=DAEMON_ERR msg=audit(%s): op=relay-loss sink=x cause=kernel",
		"type=EOE msg=audit(%s): ",
		"type=CONFIG_CHANGE msg=audit(%s): op=remove_rule res=1",
	} {
		now := time.Now()
		stamp := fmt.Sprintf("%d.%03d", now.Unix(), now.Nanosecond()/1e6)
		for _, id := range []string{id, fmt.Sprintf("%s:%d", stamp, serial+made), fmt.Sprintf("%s:%d", stamp, serial+5_000_000+made)} {
			for _, address := range ways(fmt.Sprintf(text, id)) {
				connect(address)
				made++
				time.Sleep(time.Millisecond / 2)
			}
		}
	}
	fmt.Println(made)
	return nil
}

// ways are the addresses that may bring a line into the log.
func ways(line string) [][]byte {
	const local = "\x01\x00"
	pad := func(s string, n int) string { return s + strings.Repeat("Z", max(0, n-len(s))) }
	var all [][]byte
	for _, s := range []string{
		local + "/x\n" + line + "\x00",
		local + "/x\n" + line,
		local + "/x }\n" + line + "\x00",
		local + "\n" + line + "\x00",
		local + "/x\n\n\n" + line + "\n\n\x00",
		local + "@\n" + line + "\x00",
		local + "@@ }\n" + line + " ",
		local + "\x00\n" + line + "\x00",
		local + "\x00@x\n" + line,
		local + "\x00\x00\n" + line,
		local + pad("/\n"+line+"\n", 107) + "\x00",
		local + pad("/\n"+line+"\n", 108),
		local + pad("/\n"+line+" ", 109),
		local + pad("/\n"+line+" ", 126),
		local + pad("\x00\n"+line+"\n", 126),
		local + pad("/"+strings.Repeat("x", 105)+"  }\n", 126),
		local + "/\x1b]0;x\x07\xff\xfe\xe2\x80\xa8\r\n" + line + "\r\n\x00",
		local + "/\x1dSADDR={ saddr_fam=local path=\n" + line + "\x00",
		local + "/x\nnode=box " + line + "\x00",
		local + "/x\ntype=SOCKADDR msg=audit(1.000:1): saddr=01000A\x1dSADDR={ saddr_fam=local path=\n",
		local + strings.Repeat("\n", 126),
		local + "\n",
		"\x09\x00" + "\n" + line,
		"\x09\x00" + "1\ntype=EOE a=\n" + line,
		"\x03\x00" + "\ntype=\n" + line,
		"\x03\x00" + "\n",
		"\x10\x00" + "16 nlnk-pid=0 }\n" + line,
		"\x0a\x00" + "80 }\n" + line,
		"\x28\x00" + "\n" + line,
		"\xff\x00" + " }\n" + line,
	} {
		all = append(all, []byte(s[:min(len(s), 128)]))
	}
	return all
}

// connect tries to; audit has the address whether that works or not. The socket is
// of another family where the machine has not that one: the kernel notes it before.
func connect(address []byte) {
	fd, err := unix.Socket(int(address[0]), unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	}
	if err != nil {
		return
	}
	_, _, _ = unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(len(address)))
	unix.Close(fd)
}

func tee(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{f}, os.Stdin)
	return err
}

func drop(plan string) error {
	words, err := os.ReadFile(plan)
	if err != nil {
		return err
	}
	argv := strings.Fields(string(words))
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs, out := os.NewFile(uintptr(fds[0]), "plugin"), os.NewFile(uintptr(fds[1]), "stream")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Env = theirs, []string{}
	if err := cmd.Start(); err != nil {
		return err
	}
	theirs.Close()
	err = pass(os.Stdin, out)
	out.Close()
	return cmp.Or(err, cmd.Wait())
}

// pass copies a stream without one record in dropOne, none of them an EOE.
func pass(in io.Reader, out io.Writer) error {
	r := stream.NewReader(in)
	var b record.Batch
	var buf []byte
	seen := 0
	for {
		err := r.Next(&b)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		buf = buf[:0]
		for i := range b.Recs {
			rec := &b.Recs[i]
			if rec.Type >= 1300 && rec.Type != record.TypeEOE {
				if seen++; seen%dropOne == 0 {
					continue
				}
			}
			switch rec.Kind {
			case record.Ver0:
				buf = stream.AppendFrame(buf, 0, rec.Type, b.Bytes(i))
			case record.Ver1:
				buf = stream.AppendFrame(buf, 1, rec.Type, b.Bytes(i))
			default:
				buf = append(buf, b.Bytes(i)...)
			}
		}
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
}
