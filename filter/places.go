package filter

import (
	"path"
	"strings"

	"audisp-relay/audit/record"
)

// places are the files of an event as path_under asks for them: read once, for all that do.
type places struct {
	epoch uint64
	names []string // of its paths and of its executable, clean; relative ones where it is not known from which directory they count are not there
	// unsure says that there may be other places: a path whose directory is not known, or an open file whose name is not.
	unsure bool
}

// liesUnder says whether a path of the event or its executable is one of dirs or lies in one: isUnder, isNot or notSure.
// dirs are clean and absolute.
func (m *Matcher) liesUnder(dirs []string) int64 {
	p := &m.places
	if p.epoch != m.epoch {
		m.readPlaces()
	}
	for _, name := range p.names {
		if liesIn(name, dirs) {
			return isUnder
		}
	}
	if p.unsure {
		return notSure
	}
	return isNot
}

// readPlaces finds out where the event's files are.
func (m *Matcher) readPlaces() {
	p := &m.places
	if cap(p.names) > maxList {
		p.names = nil
	}
	p.epoch, p.names = m.epoch, p.names[:0]
	if exe := m.text(record.Text, m.find(&exePattern, &m.hints.exe)); exe != "" {
		p.names = append(p.names, cleanPath(exe))
	}

	var from workingDir
	sure, named, nameless := true, false, false
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type != record.TypePath {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		name := m.text(record.Text, namePattern.find(r.text))
		if name == "" {
			nameless = true
			continue
		}

		named = true
		if full, ok := m.fullName(name, r.text, &from); ok {
			p.names = append(p.names, full)
		} else {
			sure = false
		}
	}
	p.unsure = !sure || (nameless && !named) || (named && m.inRoot())
}

// workingDir is the directory of the event's process, once it has been looked for.
type workingDir struct {
	path string
	read bool
}

// fullName returns the name in a PATH record, whose text is given, as an absolute path without ".", ".." and needless slashes. Where
// the records do not say from which directory a relative one counts, ok is false and it is as it stands.
func (m *Matcher) fullName(name string, text []byte, from *workingDir) (full string, ok bool) {
	if name[0] != '/' {
		if !from.read {
			from.path, from.read = m.cwd(), true
		}
		if from.path == "" || from.path[0] != '/' || !m.fromCwd(text) || len(m.scratch) > maxTaken { // thousands of names with a long cwd each
			return name, false
		}
		out := append(m.scratch, from.path...)
		if from.path != "/" {
			out = append(out, '/')
		}
		name = m.holdText(append(out, name...))
	}
	return cleanPath(name), true
}

// cleanPath returns a path without "..", "." and needless slashes, without a copy where it has none.
func cleanPath(name string) string {
	if strings.Contains(name, "//") || strings.Contains(name, "/.") || strings.HasSuffix(name, "/") {
		return path.Clean(name)
	}
	return name
}

// liesIn reports whether a clean path is one of dirs or lies in one.
func liesIn(name string, dirs []string) bool {
	for _, dir := range dirs {
		if rest, ok := strings.CutPrefix(name, dir); ok && (rest == "" || rest[0] == '/' || dir == "/") {
			return true
		}
	}
	return false
}
