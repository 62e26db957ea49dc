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
	r.taken, r.path = true, len(e.paths)
	m := e.addPath()
	for i := r.from; i < r.to; i++ {
		if !e.fields[i].aside {
			e.put(m, i)
		}
	}
	for _, p := range [...]struct{ id, name key }{{keyOUID, keyOwner}, {keyOGID, keyGroup}} {
		id, _ := e.get(m, p.id)
		name := e.name(r, p.id, id, p.name == keyGroup)
		if name != "" && !m.known.has(p.name) {
			e.putNew(m, p.name, keyNames[p.name], name)
		}
	}
}

// addPath adds an object without members to auditd.paths.
func (e *Encoder) addPath() *members {
	n := len(e.paths)
	if n == cap(e.paths) {
		e.paths = append(e.paths, members{})
	}
	e.paths = e.paths[:n+1] // what an event before has left there is used again
	e.paths[n].reset()
	return &e.paths[n]
}

// chooseFile chooses the PATH record that the event is about: the one at that place or, since the kernel
// may have written fewer, the first from there on that is no directory's.
func (e *Encoder) chooseFile(at int) {
	d := &e.doc
	if at >= len(e.paths) {
		at = 0
	}
	d.file = at
	for k := at; k < len(e.paths); k++ {
		if kind, _ := e.get(&e.paths[k], keyNametype); kind != "PARENT" && kind != "UNKNOWN" {
			d.file = k
			break
		}
	}

	if name, ok := e.fileValue(keyName); ok {
		d.path, d.summary.object = name, name
	}
	text, _ := e.fileValue(keyMode)
	if mode, err := strconv.ParseUint(text, 8, 64); err == nil {
		d.summary.what = cmp.Or(fileTypes[mode>>12&15], "file")
		text = "000"[:max(0, 4-len(text))] + text
		d.mode = text[len(text)-4:] // as chmod(1) takes it
	}
}

// fileValue returns a value of the event's file. What is put aside is none.
func (e *Encoder) fileValue(k key) (val string, ok bool) {
	if e.doc.file < 0 {
		return "", false
	}
	m := &e.paths[e.doc.file]
	if !m.known.has(k) || e.fields[m.at[k]].aside {
		return "", false
	}
	return e.fields[m.at[k]].val, true
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
		from := len(e.text)
		e.text = append(append(append(e.text, cwd...), '/'), name...)
		name = record.Alias(e.text[from:])
	} else if !strings.Contains(name, "//") && !strings.Contains(name, "/.") {
		return
	}
	e.doc.path = path.Clean(name)
}

// cwd returns the directory that the event's CWD record names.
func (e *Encoder) cwd() string {
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeCWD {
			if cwd := e.value(r, keyCWD); cwd != "" && cwd[0] == '/' {
				return cwd
			}
		}
	}
	return ""
}

// countsFromCwd reports whether a relative name of the event's file counts from the process's
// working directory.
func (e *Encoder) countsFromCwd() bool {
	call := e.dataOf(keySyscall)
	if record.TakesNoDir(call) {
		return true
	}
	args := record.DirFDs(call)
	if len(args) == 0 || args[0] > 2 {
		return false // names that are nowhere to be found: io_uring, fsconfig, calls without a name here
	}

	old, created := e.isAtCwd(args[0]), e.isAtCwd(args[len(args)-1])
	if kind, _ := e.fileValue(keyNametype); kind == "CREATE" {
		return created
	}
	return old
}

// isAtCwd reports whether an argument of the system call is AT_FDCWD. The kernel takes a descriptor as
// an int, so the upper half of the register does not matter.
func (e *Encoder) isAtCwd(arg int) bool {
	val := e.dataOf(keyA0 + key(arg))
	n, ok := record.ParseHex([]byte(strings.TrimPrefix(val, "0x")))
	return ok && int32(n) == -100
}
