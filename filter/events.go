package filter

import (
	"bytes"
	"path"
	"strings"

	"audisp-relay/audit/record"
)

// addWhole adds fields that are made of all that an event has of something.
func addWhole() {
	addField(field{name: "cmdline", kind: text, cost: fromArgs, load: loadCommandLine})
	addList("text", "records", fromArgs, loadRecords)
	addList("created", "created_paths", fromAny, loadCreated)
}

// loadRecords loads the text of all records, as they came.
func loadRecords(m *Matcher, v *value) {
	for k := m.i; k < m.j && m.hasRoom(len(v.texts)); k++ {
		v.texts = append(v.texts, record.Alias(bytes.TrimSuffix(m.b.Bytes(k), []byte("\n"))))
	}
}

// loadCommandLine loads the arguments with blanks between them.
func loadCommandLine(m *Matcher, v *value) {
	m.readArgs()
	n := m.args.Len()
	if n == 1 { // without a copy
		arg, _ := m.args.Arg(0)
		v.s = record.Alias(arg)
		return
	}

	out := m.scratch
	for i := range n {
		if i > 0 {
			out = append(out, ' ')
		}
		arg, _ := m.args.Arg(i)
		out = append(out, arg...)
	}
	v.s = m.holdText(out)
}

// loadCreated loads the paths of files that the event has made: names in PATH records of nametype CREATE. A relative one is
// made absolute where the records say from which directory it counts.
func loadCreated(m *Matcher, v *value) {
	cwd, haveCwd := "", false
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type != record.TypePath {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		if string(nametypePattern.find(r.text)) != "CREATE" {
			continue
		}
		name := m.text(record.Text, namePattern.find(r.text))
		if name == "" || !m.hasRoom(len(v.texts)) {
			continue
		}
		if name[0] != '/' {
			if !haveCwd {
				cwd, haveCwd = m.cwd(), true
			}
			name = m.absolute(name, cwd, r.text)
		}
		v.texts = append(v.texts, name)
	}
}

// absolute returns a relative name of a PATH record as an absolute one, where it counts from cwd.
func (m *Matcher) absolute(name, cwd string, text []byte) string {
	if cwd == "" || cwd[0] != '/' || !m.fromCwd(text) {
		return name
	}
	if strings.Contains(name, "./") || strings.HasSuffix(name, ".") { // "..", "./x" and what may look like it
		return path.Join(cwd, name)
	}
	out := append(m.scratch, cwd...)
	if !strings.HasSuffix(cwd, "/") {
		out = append(out, '/')
	}
	return m.holdText(append(out, name...))
}
