package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"audisp-relay/test/lab"
)

// Names in the table.
const (
	relaySocket = "audisp-relay → unix socket"
	relayFile   = "audisp-relay → file"
	relaySyslog = "audisp-relay → local syslog"
	relaySpool  = "audisp-relay → spool"
	stockSyslog = "audisp-syslog"
	laurelName  = "laurel (JSON file)"
	stockUnix   = "builtin af_unix"
	catFloor    = "cat | cat (floor)"
)

// relayConf writes a configuration that keeps to dir. Sinks are TOML tables.
func (b *bench) relayConf(t *scope, dir, globals, sinks string) (file string) {
	file = filepath.Join(dir, "relay.toml")
	// A bench of the relay must not fight over the machine's run directory, and
	// what it says belongs to the one who reads the table.
	text := fmt.Sprintf("%s\nrun_dir = %q\nstate_dir = %q\n[log]\noutput = %q\nlevel = \"warn\"\n%s",
		globals, filepath.Join(dir, "run"), filepath.Join(dir, "state"), filepath.Join(dir, "relay.log"), sinks)
	lab.Check(t, os.WriteFile(file, []byte(text), 0o600), "configure the relay")
	t.Cleanup(func() {
		if said, err := os.ReadFile(filepath.Join(dir, "relay.log")); err == nil && len(said) > 0 {
			t.Logf("the relay said: %s", said)
		}
	})
	return file
}

// unixSink is a unix sink of the relay; extra are more keys.
func unixSink(name, socket, extra string) string {
	return fmt.Sprintf("[sinks.%s]\ntype = \"unix\"\npath = %q\ngroup = \"root\"\n%s\n", name, socket, extra)
}

// laurelConf lets laurel write one file below dir and look nothing up.
func laurelConf(t *scope, dir string) (file, output string) {
	file = filepath.Join(dir, "laurel.toml")
	text := fmt.Sprintf("directory = %q\n[auditlog]\nfile = \"out.json\"\nsize = 10000000000\ngenerations = 1\n"+
		"[transform]\nexecve-argv = [\"array\"]\n[translate]\nuniversal = false\nuser-db = false\n"+
		"[enrich]\npid = false\nexecve-env = []\ncontainer = false\nscript = false\n", dir)
	lab.Check(t, os.WriteFile(file, []byte(text), 0o600), "configure laurel")
	return file, filepath.Join(dir, "out.json")
}

// laurelArgv is how laurel is started: the installed one, or that of -laurel, which is made for
// another system and so runs with that system's loader and libraries.
func (b *bench) laurelArgv(t *scope) []string {
	if b.laurel == "" {
		return []string{tool(t, "laurel")}
	}
	dir, err := filepath.Abs(b.laurel)
	lab.Check(t, err, "-laurel")
	program := filepath.Join(dir, "usr/sbin/laurel")
	loaders, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/ld-linux*.so.*"))
	if _, err := os.Stat(program); err != nil || len(loaders) == 0 {
		t.Skipf("-laurel %s has no usr/sbin/laurel with a loader (ld-linux) in usr/lib: bench/laurel.sh makes such a directory", b.laurel)
	}
	return []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), program}
}

// laurelPlugin is laurel as auditd starts it.
func (b *bench) laurelPlugin(t *scope, dir, conf string) lab.Plugin {
	argv := b.laurelArgv(t)
	p := lab.Plugin{Path: argv[0], Args: "--config " + conf}
	if len(argv) > 1 { // auditd 3.0 passes two arguments at most
		p.Path, p.Becomes = filepath.Join(dir, "laurel"), argv[len(argv)-1]
		script := "#!/bin/sh\nexec '" + strings.Join(argv, "' '") + "' \"$@\"\n"
		lab.Check(t, os.WriteFile(p.Path, []byte(script), 0o750), "start laurel by its loader")
	}
	return p
}

// laurelVersion is what laurel calls itself.
func (b *bench) laurelVersion(t *scope) string {
	argv := append(b.laurelArgv(t), "--version")
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	lab.Check(t, err, "ask laurel for its version")
	return strings.TrimSpace(string(out))
}

// kernelRelease is that of uname(2).
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// tool is the path of a program; the case is skipped where it is missing.
func tool(t *scope, name string) string {
	path, err := lab.Tool(name)
	if err != nil {
		t.Skipf("%v", err)
	}
	return path
}

// caseDir is a directory for the files of one case, with a short name because
// sockets are in it.
func (b *bench) caseDir(t *scope) string {
	dir, err := os.MkdirTemp(b.dir, "c")
	lab.Check(t, err, "make a directory")
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
