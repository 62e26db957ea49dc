package ecs

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	"audisp-relay/audit/record"
)

// takePath shows a PATH record: its fields, and names for the ids of the file's owner and group.
func (e *Encoder) takePath(k int) {
	r := &e.recs[k]
	from := len(e.pairs)
	for i := r.from; i < r.to; i++ {
		if f := &e.fields[i]; !f.aside {
			e.pairs = append(e.pairs, f.pair)
		}
	}
	for _, p := range [...]struct{ id, name string }{{"ouid", "owner"}, {"ogid", "group"}} {
		id, _ := get(e.pairs[from:], p.id)
		name := e.name(r, p.id, id, p.name == "group")
		if name != "" && !has(e.pairs[from:], p.name) {
			e.pairs = append(e.pairs, pair{key: p.name, val: name})
		}
	}
	to := len(e.pairs)
	r.taken, r.isPath, r.shown = true, true, e.pairs[from:to:to] // what is added to it later is a copy
	e.paths = append(e.paths, k)
}

// chooseFile chooses the PATH record that the event is about: the one at that place or, since the kernel
// may have written fewer, the first from there on that is no directory's.
func (e *Encoder) chooseFile(at int) {
	d := &e.doc
	if at >= len(e.paths) {
		at = 0
	}
	d.file = &e.recs[e.paths[at]]
	for _, k := range e.paths[at:] {
		if kind, _ := get(e.recs[k].shown, "nametype"); kind != "PARENT" && kind != "UNKNOWN" {
			d.file = &e.recs[k]
			break
		}
	}

	d.fields = d.file.shown
	if name, ok := get(d.fields, "name"); ok {
		d.path, d.summary.object = name, name
	}
	text, _ := get(d.fields, "mode")
	if mode, err := strconv.ParseUint(text, 8, 64); err == nil {
		d.summary.what = cmp.Or(fileTypes[mode>>12&15], "file")
		text = "000"[:max(0, 4-len(text))] + text
		d.mode = text[len(text)-4:] // as chmod(1) takes it
	}
}

// fileTypes are the kinds of file, by the upper bits of a mode (inode(7)).
var fileTypes = [16]string{1: "named-pipe", 2: "character-device", 4: "directory", 6: "block-device", 10: "symlink", 12: "socket"}

// completePath makes the event's file an absolute path, as the schema has it, where the
// records say what it is relative to: cwd, unless the system call was given a directory's
// descriptor. ".." and "//" are worked out as the filter's path_under does.
func (e *Encoder) completePath() {
	name := e.doc.path
	if name == "" {
		return
	}
	if name[0] != '/' {
		cwd := e.cwd()
		if cwd == "" || !e.countsFromCwd() {
			return
		}
		name = cwd + "/" + name
	} else if !strings.Contains(name, "//") && !strings.Contains(name, "/.") {
		return
	}
	e.doc.path = path.Clean(name)
}

// cwd returns the directory that the event's CWD record names.
func (e *Encoder) cwd() string {
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeCWD {
			if cwd := e.value(r, "cwd"); cwd != "" && cwd[0] == '/' {
				return cwd
			}
		}
	}
	return ""
}

// countsFromCwd reports whether a relative name of the event's file counts from the process's
// working directory.
func (e *Encoder) countsFromCwd() bool {
	call, _ := get(e.data, "syscall")
	if record.TakesNoDir(call) {
		return true
	}
	args := record.DirFDs(call)
	if len(args) == 0 || args[0] > 2 {
		return false // names that are nowhere to be found: io_uring, fsconfig, calls without a name here
	}

	old, created := e.isAtCwd(args[0]), e.isAtCwd(args[len(args)-1])
	if kind, _ := get(e.doc.fields, "nametype"); kind == "CREATE" {
		return created
	}
	return old
}

// isAtCwd reports whether an argument of the system call is AT_FDCWD. The kernel takes a descriptor as
// an int, so the upper half of the register does not matter.
func (e *Encoder) isAtCwd(arg int) bool {
	val, _ := get(e.data, [...]string{"a0", "a1", "a2"}[arg])
	n, ok := record.ParseHex([]byte(strings.TrimPrefix(val, "0x")))
	return ok && int32(n) == -100
}
