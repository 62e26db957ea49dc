package ecs

import (
	"bytes"
	"strings"

	"audisp-relay/audit/record"
)

// field is a field of a record: under its name, decoded.
type field struct {
	name, val string
	key       key
	is        traits
	aside     bool // only for auditd.data: by its name it would be taken for something else than it is
	context   bool // a part of a security context
	unset     bool // an id that is not set: for the summary only
}

// twin is a name that auditd has added for the value of a field.
type twin struct {
	name, val string // the field's name
	key       key
	at        int32 // where the field is, -1 if the record has none
}

// parsedRecord is one record of the event at hand. Its fields are Encoder.fields[from:to],
// the names auditd has added Encoder.twins[tfrom:tto].
type parsedRecord struct {
	record.Parsed
	kind       record.Kind
	line       []byte // the record as it came
	from, to   int
	tfrom, tto int
	path       int   // which of auditd.paths it is, -1 for none
	odd        bool  // not all of it is in the document: its text is to be added
	taken      bool  // its fields are in the document
	asides     bool  // it has fields that are put aside
	contexts   bool  // it has parts of a security context
	memo       *memo // of a PATH record that was read before, see writePath
}

// readRecords takes the records apart.
func (e *Encoder) readRecords(b *record.Batch, i, j int) {
	e.batch, e.from = b, i
	e.event++
	e.args.Reset()
	e.execve = false

	for ; i < j; i++ {
		e.recs = append(e.recs, parsedRecord{})
		r := &e.recs[len(e.recs)-1]
		r.Parsed, r.kind, r.line, r.path = record.Parse(b, i), b.Recs[i].Kind, b.Bytes(i), -1
		r.from, r.tfrom = len(e.fields), len(e.twins)
		switch {
		case r.Flags&record.NoID != 0 || len(r.ID) == 0:
			r.odd = true
		default:
			r.odd = r.Flags&record.Open != 0 || !plainGap(r.Gap, r.Body)
			e.readBody(r)
		}
		r.to, r.tto = len(e.fields), len(e.twins)
	}
}

// appendType appends the name of the type of record k; nothing for one that has none.
func (e *Encoder) appendType(dst []byte, k int) []byte {
	if e.recs[k].Type == 0 {
		return dst
	}
	return e.batch.AppendType(dst, e.from+k)
}

// plainGap reports whether a record continues after its id as all do: with ": ", or ":" if nothing
// follows.
func plainGap(gap, body []byte) bool {
	return string(gap) == ": " || (len(body) == 0 && string(gap) == ":")
}

func (e *Encoder) readBody(r *parsedRecord) {
	switch r.Type {
	case record.TypeExecve:
		e.readExecve(r)
		return
	case record.TypeSockaddr:
		e.readSockaddr(r)
		return // SADDR={...} says again what saddr= says, and is not to be scanned: a path in it may look like fields
	}
	p := parser{e: e, r: r, start: memoStart(r.Type), arch: -1, sysno: -1}
	p.scanFields(r.Body, false)
	p.finishRecord()
	p.readTwins()
}

// parser reads the fields of one record.
type parser struct {
	e       *Encoder
	r       *parsedRecord
	seen    keySet // the keys of its fields, which lie at Encoder.where
	start   key    // memoStart, until it has come
	noted   noted
	nested  bool   // in a program's text
	token   []byte // value of the last field, which words without a key may continue
	context bool   // the last field is subj or obj
	success []byte // what success=, res= and result= say, nil without
	res     []byte
	result  []byte
	arch    int // where arch= and syscall= of a SYSCALL or SECCOMP are, -1 without
	sysno   int
	code    uint32 // what arch= says
}

// scanFields reads the fields of a body or, inside of msg='...', of what a program has sent.
func (p *parser) scanFields(body []byte, nested bool) {
	var msg []byte
	recalled := false
	s := record.Scan(body)
	p.token, p.nested = nil, nested
	for s.Next() {
		gap, name := s.Gap, s.Key
		if p.r.Type == record.TypeLogin && !nested && (p.token == nil || p.context) {
			gap, name = loginKey(gap, name)
		}
		if string(gap) != " " { // as nearly all are
			p.readGap(gap)
		}
		if nested && len(name) > 1 && name[0] == '(' { // pam of RHEL 5: "(hostname=?, addr=?, terminal=cron res=success)"
			name, p.r.odd = name[1:], true
		}
		k := p.e.known.keys.names.find(name)
		if k == p.start && k != other && !nested {
			p.start = other
			if recalled = p.recall(body[cap(body)-cap(name):]); recalled {
				break
			}
		}
		if k == keyMsg && !nested {
			p.token, p.noted.mixed = nil, true
			v := s.Value
			if n := len(v); msg == nil && n > 1 && (v[0] == '\'' || v[0] == '"') && v[n-1] == v[0] {
				msg = v[1 : n-1]
				continue
			}
			p.r.odd = true
			if len(v) > 0 && v[0] == '\'' { // cut: all that follows is in it
				msg = body[cap(body)-cap(v)+1:]
				break
			}
			continue
		}

		p.addField(k, name, s.Value)
	}

	if !recalled && (msg == nil || len(s.Key) == 0) {
		p.readGap(s.Gap)
	}
	p.token = nil
	if p.noted.memo != nil {
		p.keepNoted()
	}
	if msg != nil {
		// After the others: what the kernel says comes before what a program says.
		p.scanFields(msg, true)
	}
}

// readGap deals with what stands between two fields and belongs to none.
func (p *parser) readGap(gap []byte) {
	text := bytes.Trim(gap, " ")
	if len(text) == 0 {
		return
	}
	if p.token != nil && (!p.context || (text[0] == '(' && bytes.IndexByte(text, ')') == len(text)-1)) {
		// "op=adding group acct=", "subj=/usr/sbin/cupsd (enforce)": values with blanks that
		// no program has quoted. The gap lies right after the token.
		whole := p.token[:len(p.token)+len(bytes.TrimRight(gap, " "))]
		p.e.fields[len(p.e.fields)-1].val = record.Alias(whole)
		p.token = nil
		return
	}

	if v, ok := record.ReadVerdict(text); ok && record.HasVerdict(p.r.Type) {
		p.putNew(keySeresult, record.Alias(v.Result))
		p.putNew(keySeperms, strings.Join(strings.Fields(record.Alias(v.Perms)), ","))
		p.r.odd = p.r.odd || string(bytes.TrimSpace(v.Rest)) != "for"
		return
	}
	p.r.odd = true
}

// loginKey returns what is shown for the name of a field of a LOGIN record, and what is left of the gap
// before it: old_auid, new_auid and new_ses for all that kernels before 3.14 have called them, see
// record.LoginKey. Other names, and those of now, are as they are.
func loginKey(gap, key []byte) (rest, shown []byte) {
	name, words := record.LoginKey(gap, key)
	word := string(bytes.Trim(gap, " "))
	switch session, isOld := strings.CutPrefix(name, "old-"); {
	case isOld:
		return gap[:len(gap)-words], []byte("old_" + session)
	case name != "":
		return gap[:len(gap)-words], []byte("new_" + name)
	case word == "old" || word == "new": // of no kernel
		return nil, []byte(word + "_" + string(key))
	}
	return gap, key
}

// maxFields is how many fields of a record, and keys of an event, are looked at: a kernel's
// record has at most 40. What a hostile one has beyond is in its text.
const maxFields = 256

// putNew adds a field that is not in the record as such.
func (p *parser) putNew(k key, val string) {
	p.put(&field{key: k, name: keyNames[k], val: val, is: p.e.known.keys.infos[k].is})
}

// put adds a field and returns where it is. The first of a name counts: what comes later
// in a record may be of a program's choice. Then it returns -1.
func (p *parser) put(f *field) int {
	if len(p.e.fields)-p.r.from == maxFields {
		p.r.odd = true
		return -1
	}
	if at := p.find(f.key, f.name); at >= 0 && p.e.fields[at].context == f.context {
		p.r.odd = p.r.odd || p.e.fields[at].val != f.val
		return -1
	}

	at := len(p.e.fields)
	p.e.fields = append(p.e.fields, *f)
	if f.key != other && !p.seen.has(f.key) {
		p.seen.add(f.key)
		p.e.where[f.key] = int32(at)
	}
	p.r.asides, p.r.contexts = p.r.asides || f.aside, p.r.contexts || f.context
	return at
}

// find returns where the first field of that name is, -1 without.
func (p *parser) find(k key, name string) int32 {
	if k != other {
		if p.seen.has(k) {
			return p.e.where[k]
		}
		return -1
	}
	for i := p.r.from; i < len(p.e.fields); i++ {
		if f := &p.e.fields[i]; f.key == other && f.name == name {
			return int32(i)
		}
	}
	return -1
}

// plainKey reports whether a key can be one of auditd.data: auditbeat has no others, and
// a dot in it would be a level of its own to Elasticsearch.
func plainKey(key []byte) bool {
	for _, c := range key {
		if c-'a' >= 26 && c-'0' >= 10 && c != '_' && c != '-' {
			return false
		}
	}
	// socket and what begins with it is where the fields of SOCKADDR go.
	return len(key) > 0 && !bytes.HasPrefix(key, []byte("socket_")) && string(key) != "socket"
}

// readTwins reads the names that auditd has added to an ENRICHED record: keys in
// capitals, each the twin of a field.
func (p *parser) readTwins() {
	e, r := p.e, p.r
	m := memoOf(&e.nameMemos, 0, r.Names)
	if m != nil && m.is(0, r.Names) {
		p.recallNames(m)
		return
	}
	before := r.odd
	r.odd = false
	p.scanTwins()
	p.keepNames(m)
	r.odd = r.odd || before
}

func (p *parser) scanTwins() {
	e, r := p.e, p.r
	s := record.Scan(r.Names)
	for s.Next() {
		if len(e.twins)-r.tfrom == maxFields {
			r.odd = true
			return
		}

		val := s.Value
		if n := len(val); n > 1 && val[0] == '"' && val[n-1] == '"' {
			val = val[1 : n-1]
		} else {
			val = record.UnhexUpper(&e.text, val)
		}

		t := twin{val: record.Alias(val)}
		if t.key = e.known.keys.capitals.find(s.Key); t.key != other {
			t.name = keyNames[t.key]
		} else {
			t.name = p.lower(s.Key)
			t.key = e.known.keys.find(t.name) // auditd writes capitals, others may write aUid
		}
		t.at = p.find(t.key, t.name)
		e.twins = append(e.twins, t)
		r.odd = r.odd || !isBlank(s.Gap)
	}
	r.odd = r.odd || !isBlank(s.Gap)
}

// lower returns the name of a twin in small letters. Some that are small already are not auditd's.
func (p *parser) lower(name []byte) string {
	from := len(p.e.text)
	for _, c := range name {
		if c-'A' < 26 {
			c += 'a' - 'A'
		} else if c-'a' < 26 {
			p.r.odd = true
		}
		p.e.text = append(p.e.text, c)
	}
	return record.Alias(p.e.text[from:])
}

// isBlank reports whether there are no words between two fields.
func isBlank(gap []byte) bool {
	for _, c := range gap {
		if c != ' ' {
			return false
		}
	}
	return true
}
