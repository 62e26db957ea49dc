package human

import (
	"bytes"
	"fmt"
	"slices"

	"audisp-relay/audit/record"
)

// addRecords adds what the records say: first that by which the event is known, last what
// only adds details. Each record leads to something, or to something that another of the
// event has said already.
func (p *Printer) addRecords() {
	title := p.readCommand()
	if p.head >= 0 {
		p.addHead()
	}
	isExec := p.args.Len() > 0
	if isExec {
		p.addCommand(title)
	}

	objects := 0
	for k := p.i; k < p.j; k++ {
		if k != p.head && p.addObject(k) {
			objects++
		}
	}
	if p.call >= 0 {
		p.addCall(objects)
	}
	if !isExec {
		p.addCommand(title)
	}
	p.addDirectories()
	if p.call >= 0 {
		r := record.Parse(p.b, p.call)
		p.addKey(find(&r, "key"))
	}
	for k := p.i; k < p.j; k++ {
		p.addDetail(k)
	}
}

// addHead adds the fields of the record that says what happened.
func (p *Printer) addHead() {
	r := record.Parse(p.b, p.head)
	body := r.Body
	if v, ok := readVerdict(&r); ok {
		body = bytes.TrimSuffix(v.Rest, []byte{'\''})
		body = bytes.TrimPrefix(bytes.TrimLeft(body, " "), []byte("for "))
	}
	hide := p.isShown
	switch r.Type {
	case record.TypeLogin: // it is about auid and ses
		hide = func(key, value []byte) bool {
			return string(key) != "auid" && string(key) != "ses" && p.isShown(key, value)
		}
	case record.TypeUser:
		p.addMessage(&r)
		return
	}
	p.addFields(&r, body, hide)
}

// isShown reports whether the line has a field of the head already: who and with which result
// say it. Only the same value counts: systemd's USER_AVC has its own ids, and in the text those
// of who asked it. Contexts are never shown of who.
func (p *Printer) isShown(key, value []byte) bool {
	s := &p.subject
	switch string(key) {
	case "auid":
		return bytes.Equal(s.auid, value)
	case "uid":
		return bytes.Equal(s.uid, value)
	case "euid":
		return bytes.Equal(s.euid, value)
	case "ses":
		return bytes.Equal(s.ses, value)
	case "tty", "terminal":
		return bytes.Equal(s.tty, value)
	case "pid":
		return bytes.Equal(s.pid, value)
	case "res", "result", "success":
		outcome := outcomeOf(value)
		return outcome != "" && outcome == p.outcome
	}
	return string(key) == "subj"
}

// addMessage adds what auditctl -m or a program says: any text, to which libaudit has
// added who said it.
func (p *Printer) addMessage(r *record.Parsed) {
	text, added := inside(find(r, "msg")), []byte(nil)
	if k := bytes.LastIndex(text, []byte(addedByLibaudit)); k >= 0 {
		text, added = text[:k], text[k:]
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("text=")))
	if len(text) == 0 {
		p.addFields(r, r.Body, p.isShown)
		return
	}
	p.begin("")
	p.text = AppendText(p.text, text)
	p.end("")
	own, _, _ := bytes.Cut(r.Body, []byte("msg='"))
	p.addFields(r, own, p.isShown)
	p.addFields(r, added, p.isShown)
}

// readCommand reads the arguments of an exec, and returns the title of the process.
func (p *Printer) readCommand() (title []byte) {
	p.args.Reset()
	p.title = -1
	for k := p.i; k < p.j; k++ {
		switch p.b.Recs[k].Type {
		case record.TypeExecve:
			r := record.Parse(p.b, k)
			p.args.Add(r.Body)
		case record.TypeProctitle:
			if p.title < 0 {
				r := record.Parse(p.b, k)
				p.title, title = k, find(&r, "proctitle")
			}
		}
	}
	return title
}

// addCommand adds the command line and the program: the arguments of an exec, and the
// title of the process that made the call.
func (p *Printer) addCommand(title []byte) {
	var first []byte
	if p.args.Len() > 0 {
		first, _ = p.args.Arg(0)
		p.addArguments()
	}

	if text, quoted := p.titleText(title); len(text) > 0 && !p.isTitleOfArgs(text) {
		words := record.AppendTitle(nil, text)
		if quoted {
			words = [][]byte{text}
		}
		first = firstOf(first, words[0])
		p.addWords("by ", words)
	}
	if p.call >= 0 {
		p.addProgram(bytes.Clone(first))
	}
}

// titleText returns what proctitle= holds; quoted says that it is one word.
func (p *Printer) titleText(value []byte) (text []byte, quoted bool) {
	if isEmpty(value) {
		return nil, false
	}
	return bytes.Clone(p.textOf(record.Text, value)), value[0] == '"'
}

// isTitleOfArgs reports whether a title says nothing beside the arguments: it is
// their first 128 bytes.
func (p *Printer) isTitleOfArgs(title []byte) bool {
	if p.args.Len() == 0 {
		return false
	}

	for i := 0; i < p.args.Len(); i++ {
		arg, state := p.args.Arg(i)
		if state != record.ArgWhole {
			return false
		}
		if i > 0 {
			if len(title) == 0 {
				return true
			}
			if title[0] != 0 {
				return false
			}
			title = title[1:]
		}
		if len(title) <= len(arg) {
			return bytes.HasPrefix(arg, title)
		}
		if !bytes.HasPrefix(title, arg) {
			return false
		}
		title = title[len(arg):]
	}
	return len(title) == 0
}

// addArguments adds the arguments of an exec, in shell quoting; what no record has is
// an ellipsis.
func (p *Printer) addArguments() {
	p.begin("")
	for i := range p.args.Len() {
		if i > 0 {
			p.text = append(p.text, ' ')
		}
		arg, state := p.args.Arg(i)
		if state != record.ArgMissing {
			p.text = appendWord(p.text, arg)
		}
		if state != record.ArgWhole {
			p.text = append(p.text, "…"...)
		}
	}

	if n, ok := p.args.Count(); ok && int64(n) > int64(p.args.Len()) {
		p.text = fmt.Appendf(p.text, " …+%d arguments", int64(n)-int64(p.args.Len()))
	}
	p.end(bold)
}

func (p *Printer) addWords(label string, words [][]byte) {
	p.begin(label)
	for i, word := range words {
		if i > 0 {
			p.text = append(p.text, ' ')
		}
		p.text = appendWord(p.text, word)
	}
	p.end("")
}

// addKey adds the keys of the rules that made the event.
func (p *Printer) addKey(value []byte) {
	if isEmpty(value) {
		return
	}
	p.begin("key=")
	keys := p.textOf(record.Text, value)
	for i, key := range bytes.Split(keys, []byte{record.KeySeparator}) {
		if i > 0 {
			p.text = append(p.text, ',')
		}
		p.text = appendWord(p.text, key)
	}
	p.end(magenta)
}

// addDetail adds record k where nothing has shown it: of a type that is not known, a second
// one of a kind that there is one of, one that has no header that can be read.
func (p *Printer) addDetail(k int) {
	rec := &p.b.Recs[k]
	if !rec.HasID() {
		p.begin("")
		p.text = AppendText(p.text, record.TrimEnd(p.b.Bytes(k)))
		p.end("")
		return
	}

	switch rec.Type {
	case record.TypePath, record.TypeCWD, record.TypeSockaddr, record.TypeObjPID:
		return
	case record.TypeExecve:
		if p.args.Len() > 0 && !p.args.Left() {
			return
		}
	case record.TypeProctitle:
		if k == p.title {
			return
		}
	case record.TypeEOE:
		r := record.Parse(p.b, k)
		switch isBare := len(bytes.TrimSpace(r.Body)) == 0; {
		case p.j-p.i == 1 && isBare:
			p.add("", "EOE", "")
			return
		case isBare:
			return
		}
	}
	if k != p.head && k != p.call {
		p.addRecord(k)
	}
}

// IsLoss reports whether the event that records i to j-1 of b are is a marker of the relay: records
// were lost there.
func IsLoss(b *record.Batch, i, j int) bool {
	for ; i < j; i++ {
		if b.Recs[i].Type != record.TypeDaemonErr || !b.Recs[i].HasID() {
			continue
		}
		if r := record.Parse(b, i); string(find(&r, "op")) == "relay-loss" {
			return true
		}
	}
	return false
}

// addLoss adds what a loss marker says: more records than these are missing here.
func (p *Printer) addLoss() {
	r := record.Parse(p.b, p.head)
	p.begin("")
	p.text = append(p.text, "--- LOST "...)
	p.text = appendWord(p.text, find(&r, "records"))
	p.text = append(p.text, " records: "...)
	p.text = appendWord(p.text, find(&r, "cause"))
	p.end(alarm)
	p.addFields(&r, r.Body, func(key, _ []byte) bool {
		return slices.Contains([]string{"op", "records", "cause", "mac", "res"}, string(key))
	})
	for k := p.i; k < p.j; k++ {
		if k != p.head {
			p.addRecord(k)
		}
	}
}
