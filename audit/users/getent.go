package users

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
)

const (
	// askLimit is how long getent may take: a directory server may be away.
	askLimit = 2 * time.Second
	// killLimit is how long its children may hold its output open after its end.
	killLimit = 100 * time.Millisecond
	// maxReply is how much of its output is read: the line of a group has its members.
	maxReply = 64 << 10
)

// asker returns the name of an id of a database ("passwd", "group"), "" when there is
// none or it is not known.
type asker func(ctx context.Context, database string, id uint32) string

// getent returns an asker that runs the first of these programs that there is, nil without one, or
// where this process may start none.
// auditd starts its plugins without a PATH.
func getent(places ...string) asker {
	for _, path := range places {
		if runnable.MayStart(path) == nil {
			return func(ctx context.Context, database string, id uint32) string {
				return runGetent(ctx, path, database, id)
			}
		}
	}
	return nil
}

// Item is what a worker calls getent when it asks its monitor for a name; op is the database.
const Item = "getent"

// asks returns what knows names that the files lack, nil where nothing does.
func asks() asker {
	m := broker.Monitor()
	switch {
	case m != nil && Elsewhere() == "": // no more than the files
		return nil
	case m != nil:
		return func(ctx context.Context, database string, id uint32) string { return askMonitor(ctx, m, database, id) }
	}
	return getent(places...)
}

// places are where getent may be.
var places = []string{"/usr/bin/getent", "/bin/getent"}

// askMonitor has the monitor run getent, and does not wait for it longer than ctx lives.
func askMonitor(ctx context.Context, m *broker.Client, database string, id uint32) string {
	names := make(chan string, 1)
	go func() {
		var name string
		_ = m.Do(Item, database, id, &name) // none
		names <- name
	}()
	select {
	case name := <-names:
		return name
	case <-ctx.Done():
		return ""
	}
}

// Serve serves Item in a monitor.
func Serve(c *broker.Call) (a broker.Answer, err error) {
	var id uint32
	if err := c.Args(&id); err != nil {
		return a, err
	}
	if c.Op != "passwd" && c.Op != "group" {
		return a, c.Unknown()
	}
	name := ""
	if ask := getent(places...); ask != nil {
		name = ask(context.Background(), c.Op, id)
	}
	a.Result = name
	return a, nil
}

// runGetent runs "getent DATABASE ID", which looks for a number among the ids.
func runGetent(ctx context.Context, path, database string, id uint32) string {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, database, strconv.FormatUint(uint64(id), 10))
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = withoutRights()
	cmd.WaitDelay = killLimit
	var out reply
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return "" // 2: there is none
	}
	line, _, _ := bytes.Cut(out, []byte{'\n'})
	name, got, ok := entry(line)
	if !ok || got != id {
		return ""
	}
	return string(name)
}

// nobody is a user of every system who has nothing (overflowuid in proc(5)).
const nobody = 65534

// withoutRights has a program of root's run as nobody: getent loads modules for directories, which parse what servers answer, and
// any user may ask. It is not the worker's user, who could attach to it, and be without his filter of system calls there.
func withoutRights() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// reply keeps the beginning of what is written to it.
type reply []byte

func (r *reply) Write(p []byte) (int, error) {
	*r = append(*r, p[:min(len(p), maxReply-len(*r))]...)
	return len(p), nil
}
