package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"audisp-relay/host/broker"
)

// Item is what a worker calls /proc when it asks its monitor for what only root may see there.
const Item = "proc"

// OpExe of Item gives the path of the program that the process with this pid runs. The monitor can find that out as long as it has
// CAP_SYS_PTRACE, until the first worker works.
const OpExe = "exe"

// readExe returns the path of the program that a process runs; dir is its place in /proc.
func readExe(dir string, pid int32) (string, error) {
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	m := broker.Monitor()
	if m == nil || !errors.Is(err, fs.ErrPermission) {
		return exe, err
	}
	var path []byte
	err = m.Do(Item, OpExe, pid, &path)
	return string(path), err
}

// Serve serves Item in a monitor.
func Serve(c *broker.Call) (a broker.Answer, err error) {
	var pid int32
	if err := c.Args(&pid); err != nil {
		return a, err
	}
	if c.Op != OpExe || pid <= 0 {
		return a, c.Unknown()
	}
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(int(pid)), "exe"))
	a.Result = []byte(exe) // it may be no UTF-8
	return a, err
}
