package filter

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/expr-lang/expr/ast"

	"audisp-relay/host/trusted"
)

// Limits of the file of a list.
const (
	maxListFile  = 16 << 20
	maxListLines = 250_000
	maxListLine  = 4096
	maxLists     = 32 // in one expression
)

// byteOrderMark is what editors of Windows put at the beginning of a text.
const byteOrderMark = "\ufeff"

// List is the values in a file that an expression names with in file("..."): one a line, without the blanks around it. Lines that
// are empty or begin with # are none. It may be used by any goroutine.
type List struct {
	path   string
	values atomic.Pointer[listValues]

	mu   sync.Mutex // guards all below: a reload and the clock may both refresh
	seen listState  // of the file when its values were read; nothing after an error
	said string     // the error that was returned last, "" if there was none
}

// listValues are the values as they stand in the file, and, of those that are addresses in another form than the usual one, the
// addresses in that.
type listValues struct{ texts, addrs map[string]struct{} }

// listState is by what one sees that a file has changed.
type listState struct {
	modified time.Time
	size     int64
	info     fs.FileInfo
}

func (s *listState) same(info fs.FileInfo) bool {
	return s.info != nil && s.size == info.Size() && s.modified.Equal(info.ModTime()) && os.SameFile(s.info, info)
}

// newList reads a file. Its error is one line.
func newList(path string) (*List, error) {
	l := &List{path: path}
	l.values.Store(new(listValues))
	_, err := l.Refresh()
	return l, err
}

// Path returns the file's path.
func (l *List) Path() string { return l.path }

// Len returns how many values there are.
func (l *List) Len() int { return len(l.values.Load().texts) }

// Refresh reads the file again if it has changed, and reports whether there are other values now. With an error, one
// line, those from before stay; the same error is returned once, not each time.
func (l *List) Refresh() (changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := trusted.Stat(l.path)
	if err == nil && l.seen.same(info) {
		return false, nil
	}
	if err == nil {
		err = l.read()
	}

	if err == nil {
		l.seen, l.said = listState{info.ModTime(), info.Size(), info}, ""
		return true, nil
	}
	l.seen = listState{} // read again: what mends it, a chmod, need not show in these
	if err.Error() == l.said {
		return false, nil
	}
	l.said = err.Error()
	return false, err
}

// read reads the file.
func (l *List) read() error {
	data, _, err := trusted.Read(l.path, maxListFile, 0o022)
	if err != nil {
		return err
	}

	values := listValues{make(map[string]struct{}), make(map[string]struct{})}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), byteOrderMark)) {
		n++
		value := strings.TrimSpace(line)
		switch {
		case value == "" || value[0] == '#':
			continue
		case strings.Contains(value, "\x00"): // in UTF-16 no value would ever be found
			return fmt.Errorf("%s:%d: has a byte 0, so it is no list: write it as plain text or UTF-8, one value on each line", l.path, n)
		case len(value) > maxListLine:
			return fmt.Errorf("%s:%d: has more than %d bytes, so it is no list: put one value on each line", l.path, n, maxListLine)
		case len(values.texts) >= maxListLines:
			return fmt.Errorf("%s:%d: the list has more than %d values: shorten it", l.path, n, maxListLines)
		}
		values.texts[strings.Clone(value)] = struct{}{}
		if addr := usualAddr(value); addr != value {
			values.addrs[addr] = struct{}{}
		}
	}
	l.values.Store(&values)
	return nil
}

// has reports whether a text is one of the values.
func (l *List) has(s string) bool {
	_, has := l.values.Load().texts[s]
	return has
}

// hasAddr is has for what field addr has: an address counts in whichever form it stands there.
func (l *List) hasAddr(s string) bool {
	values := l.values.Load()
	if _, has := values.texts[s]; has {
		return true
	}
	_, has := values.addrs[s]
	return has
}

// hasNumber is has for a number, which stands there in decimal digits.
func (l *List) hasNumber(n int64) bool {
	var digits [20]byte
	_, has := l.values.Load().texts[string(strconv.AppendInt(digits[:0], n, 10))]
	return has
}

// isCall reports whether a call is one of a helper.
func isCall(n *ast.CallNode, name string) bool {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	return ok && callee.Value == name
}

// checkInFile checks x in file("/etc/...").
func (c *checker) checkInFile(n *ast.BinaryNode, l operand, call *ast.CallNode) operand {
	paths := c.literals(call, 0)
	switch {
	case len(paths) != 1:
		c.fail(call, "file takes one path", "write "+helpers["file"])
	case l.kind != text && l.kind != number:
		c.fail(n.Left, showNode(n.Left)+" is "+l.kind.String()+", and a file holds texts and numbers", "")
	}

	list := c.useList(call.Arguments[0], paths[0])
	return c.overEach(n, l, func(o operand) operand {
		out := combine(flag, o)
		out.cost++
		get, getNumber := o.text, o.number
		switch {
		case o.kind == number:
			out.test = func(m *Matcher) bool { return list.hasNumber(getNumber(m)) }
		case o.field != nil && o.field.name == "addr":
			out.test = func(m *Matcher) bool { return list.hasAddr(get(m)) }
		default:
			out.test = func(m *Matcher) bool { return list.has(get(m)) }
		}
		return out
	})
}

// useList returns the list of a file.
func (c *checker) useList(n ast.Node, path string) *List {
	if list := c.files[path]; list != nil {
		return list
	}
	if len(c.files) >= maxLists {
		c.fail(n, "there are too many files", fmt.Sprintf("at most %d", maxLists))
	}
	if !strings.HasPrefix(path, "/") {
		c.fail(n, strconv.Quote(brief(path, 60))+" is no absolute path", "write "+helpers["file"])
	}
	if strings.ContainsFunc(path, unicode.IsControl) { // it stands in errors as it is
		c.fail(n, strconv.Quote(brief(path, 60))+" has a control character", "rename the file")
	}
	list, err := newList(path)
	if err != nil {
		c.fail(n, oneLine(err.Error()), "")
	}
	c.files[path] = list
	return list
}
