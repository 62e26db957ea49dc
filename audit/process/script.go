package process

import (
	"bytes"
	"math"
	"strings"

	"audisp-relay/audit/record"
)

// A script is executed by another program, which its first line names, and exe= is that program's. The kernel
// (fs/binfmt_script.c, load_script; fs/binfmt_misc.c) opens the script first and then the interpreter, so that their PATH
// records stand in this order, and puts the interpreter's path and that of the script in front of the arguments:
//
//	EXECVE  a0="/bin/sh" a1="./x.sh"
//	PATH    item=0 name="./x.sh", item=1 name="/bin/sh", item=2 name="/lib64/ld-linux-x86-64.so.2"
//
// A program has two files at most, itself and its loader. Its arguments alone could have the form of a script's: any process
// chooses them.

// pendingExec is an exec of which records are still to come.
type pendingExec struct {
	p      *Process
	awaits bool // the PATH records: it may be a script's, or its program is to be hashed
	items  int64

	// What they have said so far.
	next        int64  // the item that comes next
	cwd         []byte // empty: not known
	name        []byte // of item 0
	first, last file   // the first file, and the one before
	files       int    // different ones
	interpreter bool   // one of them is the interpreter by the arguments
	runs        file   // the interpreter, without one the first file
	isExe       bool   // runs is the program of the process, by its path
}

// file is what identifies a file in a PATH record.
type file struct{ dev, inode string }

// maxNumber bounds the digits that identify a file.
const maxNumber = 20

// expect remembers p until its other records have come, and forgets the oldest exec for that.
func (t *Table) expect(p *Process, items int64) {
	e := &t.execs[t.exec]
	t.exec = (t.exec + 1) % len(t.execs)
	t.forgetExec(e)
	e.p, e.items = p, items
}

// forgetExec forgets an exec: nothing is expected of it any more.
func (t *Table) forgetExec(e *pendingExec) {
	if e.awaits {
		t.scripts--
	}
	*e = pendingExec{cwd: e.cwd[:0], name: e.name[:0]}
}

// expected returns the exec of an event of which something is expected, nil without.
func (t *Table) expected(m Moment) *pendingExec {
	for i := range t.execs {
		if e := &t.execs[i]; e.p != nil && e.p.at() == m {
			return e
		}
	}
	return nil
}

// mayBeScript reports whether the arguments of p can be those of a script.
func mayBeScript(p *Process) bool {
	first, others, _ := strings.Cut(p.args(), "\x00")
	return strings.HasPrefix(first, "/") && others != "" // few programs get a path as their name
}

// noteCWD learns the directory that relative paths of an exec start from.
func (t *Table) noteCWD(m Moment, body []byte) {
	e := t.expected(m)
	value, ok := cutPrefix(record.TrimColon(body), "cwd=")
	if e == nil || !e.awaits || !ok {
		return
	}
	word, _ := cutWord(value)
	e.cwd = append(e.cwd[:0], unquote(t.args.exe[:0], word)...)
}

// notePath learns of a file that an exec has opened, and of the last one whether it was a script.
func (t *Table) notePath(m Moment, body []byte) {
	e := t.expected(m)
	if e == nil || !e.awaits {
		return
	}
	if !e.add(body, &t.args) {
		t.forgetExec(e)
		return
	}
	if e.next < e.items {
		return
	}
	p := e.p
	script, ok := e.script(t.args.text[:0])
	if ok && p.state&gone == 0 {
		p = t.noteScript(p, script)
	}
	if ok || !e.interpreter { // else it is not certain which file is the program
		t.askHash(p, e.runs)
	}
	t.forgetExec(e)
}

// add takes what a PATH record says. ok is false where it does not stand in the kernel's order, or has no file.
func (e *pendingExec) add(body []byte, r *argReader) (ok bool) {
	rest, ok := cutPrefix(record.TrimColon(body), "item=")
	if !ok {
		return false
	}
	word, rest := cutWord(rest)
	item, okItem := record.ParseInt(word)
	rest, ok = cutPrefix(rest, " name=")
	if !ok || !okItem || item != e.next {
		return false
	}
	word, rest = cutWord(rest)
	inode, rest, okInode := cutField(rest, " inode=")
	dev, _, okDev := cutField(rest, " dev=")
	name := unquote(r.exe[:0], word)
	if !okInode || !okDev || len(name) == 0 || len(name) > maxExe {
		return false
	}
	e.next++

	is := file{string(dev), string(inode)}
	switch {
	case item == 0:
		e.name, e.first, e.last, e.runs, e.files = append(e.name[:0], name...), is, is, is, 1
	case is != e.first && is != e.last: // the kernel may say one twice
		e.last = is
		e.files++
		if e.p.firstArg() == string(name) {
			e.interpreter, e.runs = true, is
			e.isExe = e.isExe || e.p.Exe() == string(name)
		}
	}
	return true
}

// cutField cuts the value of a field that text begins with.
func cutField(text []byte, field string) (value, rest []byte, ok bool) {
	rest, ok = cutPrefix(text, field)
	value, rest = cutWord(rest)
	return value, rest, ok && len(value) > 0 && len(value) <= maxNumber
}

// script returns the path of the script, where it was one; it may use scratch.
func (e *pendingExec) script(scratch []byte) (path []byte, ok bool) {
	if !e.interpreter || (e.files == 2 && !e.isExe) || !e.p.hasArgAfterFirst(e.name) {
		return nil, false
	}
	path, ok = absolute(scratch, e.cwd, e.name)
	return path, ok && string(path) != e.p.Exe() && len(path) <= maxExe
}

// noteScript puts the script into what is known of p.
func (t *Table) noteScript(p *Process, script []byte) *Process {
	whole := *p
	whole.setScript(string(script))
	t.replace(p, &whole)
	t.relabel(&whole)
	return &whole
}

// setScript puts a script into the text of p, which nobody else may have yet; "" leaves it as it is.
func (p *Process) setScript(script string) {
	if script == "" {
		return
	}
	after, args := p.afterComm(), p.args()
	p.text = p.text[:len(p.text)-len(after)] + script + "\x00" + args
}

// scriptOfEnv returns the script of p where its process was env(1) before, as the first line of a script said ("#!/usr/bin/env python3"), and
// has executed the interpreter with all that it was given: so the script is the same. "" where that is not so.
func (t *Table) scriptOfEnv(p *Process) string {
	env := p.prev
	if env == nil || env.from != fromExec || env.cut || p.cut || env.Script() == "" || !strings.HasSuffix(env.firstArg(), "/env") {
		return ""
	}
	_, given, _ := strings.Cut(env.args(), "\x00")
	if given == "" || given != p.args() || t.lookBack(env, p.at(), math.MaxInt64, 0) != env {
		return ""
	}
	return env.Script()
}

// absolute returns the path that a name means in a directory, without "." and ".."; it may use scratch. The directory
// is as the kernel writes it (fs/d_path.c), without symbolic links. A directory in the name may be a link, so that it
// is not known where a ".." after it leads: then ok is false, as it is without a directory that still exists.
func absolute(scratch, cwd, name []byte) (path []byte, ok bool) {
	dst := scratch[:0]
	if name[0] != '/' {
		if len(cwd) == 0 || cwd[0] != '/' || bytes.HasSuffix(cwd, []byte(deleted)) {
			return nil, false
		}
		dst = append(dst, bytes.TrimRight(cwd, "/")...)
	}

	named := false
	for part := range bytes.SplitSeq(name, []byte{'/'}) {
		switch {
		case len(part) == 0 || string(part) == ".":
		case string(part) != "..":
			dst, named = append(append(dst, '/'), part...), true
		case named:
			return nil, false
		default:
			dst = dst[:max(0, bytes.LastIndexByte(dst, '/'))]
		}
	}
	return dst, named
}

// firstArg returns the first argument, "" where it is not known.
func (p *Process) firstArg() string {
	for arg := range p.Args {
		return arg
	}
	return ""
}

// hasArgAfterFirst reports whether one of the other arguments is that text.
func (p *Process) hasArgAfterFirst(text []byte) bool {
	n := 0
	for arg := range p.Args {
		if n++; n > 1 && arg == string(text) {
			return true
		}
	}
	return false
}
