package filter

import (
	"bytes"

	"audisp-relay/audit/record"
)

// addWhole adds fields that are made of all that an event has of something.
func addWhole() {
	addField(field{name: "cmdline", kind: text, cost: fromArgs, load: loadCommandLine})
	addList("text", "records", fromArgs, loadRecords)
	addList("created", "created_paths", fromAny, loadCreated)
	addList("full_path", "full_paths", fromAny, loadFull)
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

// loadCreated loads the paths of files that the event has made: names in PATH records of nametype CREATE.
func loadCreated(m *Matcher, v *value) { m.loadFullNames(v, "CREATE") }

// loadFull loads the names in all PATH records.
func loadFull(m *Matcher, v *value) { m.loadFullNames(v, "") }

// loadFullNames loads the names in the PATH records of a nametype, "" for any, as absolute paths where the records say from which
// directory they count.
func (m *Matcher) loadFullNames(v *value, nametype string) {
	var from workingDir
	for k := m.i; k < m.j; k++ {
		if m.b.Recs[k].Type != record.TypePath {
			continue
		}
		var r body
		m.cutRecord(&r, k)
		if nametype != "" && string(nametypePattern.find(r.text)) != nametype {
			continue
		}
		s := namePattern.find(r.text)
		name := m.text(record.Text, s)
		if s == nil || string(s) == "(null)" || (name == "" && nametype != "") {
			continue
		}
		if !m.hasRoom(len(v.texts)) {
			return
		}
		if name != "" {
			name, _ = m.fullName(name, r.text, &from)
		}
		v.texts = append(v.texts, name)
	}
}
