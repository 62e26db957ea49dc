package human

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// addRecords adds what the records say: first that by which the event is known, last what
// only adds details. Each record leads to something, or to something that another of the
// event has said already.
func (p *Printer) addRecords() {
	if p.head >= 0 {
		p.addHead()
	}
	p.addCommand()
	objects := 0
	for k := p.i; k < p.j; k++ {
		if k != p.head && p.addObject(k) {
			objects++
		}
	}
	if p.call >= 0 {
		p.addCall(objects)
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
	hide := isShownOfHead
	switch r.Type {
	case record.TypeLogin:
		hide = isShownOfLogin
	case record.TypeUser:
		p.addMessage(&r)
		return
	}
	p.addFields(&r, p.head, body, hide, false)
}

// isShownOfHead reports whether who and with which result say a field.
func isShownOfHead(key string) bool {
	switch key {
	case "pid", "uid", "auid", "euid", "ses", "tty", "terminal", "res", "result", "success", "subj":
		return true
	}
	return false
}

// isShownOfLogin is isShownOfHead for a record that is about auid and ses.
func isShownOfLogin(key string) bool {
	return isShownOfHead(key) && key != "auid" && key != "ses"
}

// addMessage adds what auditctl -m or a program says: any text, to which libaudit has
// added who said it.
func (p *Printer) addMessage(r *record.Parsed) {
	text, added := inside(find(r, "msg")), []byte(nil)
	if k := bytes.LastIndex(text, []byte(" exe=")); k >= 0 {
		text, added = text[:k], text[k:]
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("text=")))
	if len(text) == 0 {
		p.addFields(r, p.head, r.Body, isShownOfHead, false)
		return
	}
	p.begin("")
	p.text = AppendText(p.text, text)
	p.end("")
	p.addFields(r, p.head, added, isShownOfHead, false)
}

// addCommand adds the command line and the program: the arguments of an exec, else the
// title of the process that made the call.
func (p *Printer) addCommand() {
	p.args.Reset()
	p.title = -1
	var title []byte
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

// isTitleOfArgs reports whether a title says nothing beside the arguments, of which it
// is the first 128 bytes.
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
			p.text = AppendWord(p.text, arg)
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
		p.text = AppendWord(p.text, word)
	}
	p.end("")
}

// addObject adds what the event is about, if that is what record k says.
func (p *Printer) addObject(k int) bool {
	rec := &p.b.Recs[k]
	if !rec.HasID() {
		return false
	}
	r := record.Parse(p.b, k)
	switch rec.Type {
	case record.TypePath:
		p.addPath(&r)
	case record.TypeCWD:
		p.addValue("cwd=", p.textOf(record.Text, find(&r, "cwd")))
		return false
	case record.TypeSockaddr:
		p.addSockaddr(&r)
	case record.TypeObjPID:
		p.addTarget(&r, k)
	default:
		return false
	}
	return true
}

// addPath adds a file and what became of it.
func (p *Printer) addPath(r *record.Parsed) {
	label := "path="
	switch string(find(r, "nametype")) {
	case "CREATE":
		label = "create="
	case "DELETE":
		label = "delete="
	case "PARENT":
		label = "parent="
	}
	p.begin(label)
	if name := find(r, "name"); name != nil && string(name) != "(null)" {
		p.text = AppendWord(p.text, p.textOf(record.Text, name))
	} else {
		p.text = append(p.text, "inode "...)
		p.text = AppendWord(p.text, find(r, "inode"))
		p.text = append(p.text, " on "...)
		p.text = AppendWord(p.text, find(r, "dev"))
	}
	p.end(fileColour)
}

// addSockaddr adds an address, as it stands to the call.
func (p *Printer) addSockaddr(r *record.Parsed) {
	label := "addr="
	if p.call >= 0 {
		if place := p.callVerb().place; place != "" {
			label = place
		}
	}
	p.begin(label)
	value := find(r, "saddr")
	if !p.appendAddress(value) {
		p.text = AppendWord(p.text, value)
	}
	p.end(netColour)
}

// appendAddress appends a socket address as people write it; false, and nothing, where it
// cannot be read.
func (p *Printer) appendAddress(value []byte) bool {
	a, raw, ok := record.Sockaddr(p.word, value)
	p.word = raw
	if !ok {
		return false
	}
	switch ip, isIP := netip.AddrFromSlice(a.Addr); {
	case isIP:
		p.text = netip.AddrPortFrom(ip, uint16(a.Port)).AppendTo(p.text)
	case len(a.Path) > 0 && a.Path[0] == 0: // abstract: written as ss(8) does
		p.text = append(p.text, "unix "...)
		p.text = AppendWord(append(p.text, '@'), a.Path[1:])
	case a.Path != nil:
		p.text = AppendWord(append(p.text, "unix "...), a.Path)
	default:
		p.appendParts(&a)
	}
	return true
}

// appendParts appends an address of another family: its name and what it consists of.
func (p *Printer) appendParts(a *record.Addr) {
	if name := record.FamilyName(a.Family); name != "" {
		p.text = append(p.text, name...)
	} else {
		p.appendNumber("family ", int64(a.Family))
	}
	for _, part := range a.Parts() {
		p.text = append(append(append(p.text, ' '), part.Name...), '=')
		switch part.Kind {
		case record.PartNumber:
			p.text = strconv.AppendInt(p.text, part.Number, 10)
		case record.PartText:
			p.text = AppendWord(p.text, part.Bytes)
		default:
			p.text = hex.AppendEncode(p.text, part.Bytes)
		}
	}
}

// addTarget adds the process that a signal or the like is for.
func (p *Printer) addTarget(r *record.Parsed, k int) {
	p.begin("target=")
	p.text = AppendWord(p.text, p.textOf(record.Text, find(r, "ocomm")))
	p.text = append(p.text, " pid="...)
	p.text = AppendWord(p.text, find(r, "opid"))
	if ouid := find(r, "ouid"); ouid != nil {
		p.text = p.appendID(append(p.text, " uid="...), r, k, []byte("ouid"), ouid)
	}
	if oauid := find(r, "oauid"); oauid != nil && !record.IsUnset(oauid) {
		p.text = p.appendID(append(p.text, " auid="...), r, k, []byte("oauid"), oauid)
	}
	p.end("")
}

// addCall adds the name of a call that the verb does not say, and its arguments where
// nothing else says what the call was for.
func (p *Printer) addCall(objects int) {
	r := record.Parse(p.b, p.call)
	v := p.callVerb()
	if p.head >= 0 {
		p.addValue("call=", []byte(v.word))
	}
	switch name := p.callName(&r); {
	case name == "kill" || name == "tkill" || name == "tgkill":
		p.addSignal(&r, name)
	case objects == 0 && p.args.Len() == 0 && p.head < 0:
		p.begin("args=")
		for i, key := range [4]string{"a0", "a1", "a2", "a3"} {
			if i > 0 {
				p.text = append(p.text, ',')
			}
			p.text = AppendWord(p.text, find(&r, key))
		}
		p.end("")
	}
}

func (p *Printer) addSignal(r *record.Parsed, call string) {
	key := "a1"
	if call == "tgkill" {
		key = "a2"
	}
	value := find(r, key)
	n, ok := record.ParseHex(value)
	if name := unix.SignalName(unix.Signal(min(n, 1<<10))); ok && name != "" {
		value = []byte(name)
	}
	p.addValue("signal=", value)
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
		p.text = AppendWord(p.text, key)
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
		if p.j-p.i == 1 {
			p.add("", "EOE", "")
		}
		return
	}
	if k != p.head && k != p.call {
		r := record.Parse(p.b, k)
		p.addRecord(&r, k)
	}
}

// isLoss reports whether the event is a loss marker of the relay.
func (p *Printer) isLoss() bool {
	if p.head < 0 || p.b.Recs[p.head].Type != record.TypeDaemonErr {
		return false
	}
	r := record.Parse(p.b, p.head)
	return string(find(&r, "op")) == "relay-loss"
}

// addLoss adds what a loss marker says: more records than these are missing here.
func (p *Printer) addLoss() {
	r := record.Parse(p.b, p.head)
	p.begin("")
	p.text = append(p.text, "--- LOST "...)
	p.text = AppendWord(p.text, find(&r, "records"))
	p.text = append(p.text, " records: "...)
	p.text = AppendWord(p.text, find(&r, "cause"))
	p.end(alarm)
	p.addFields(&r, p.head, r.Body, func(key string) bool {
		return key == "op" || key == "records" || key == "cause" || key == "mac" || key == "res"
	}, false)
	for k := p.i; k < p.j; k++ {
		if k != p.head {
			p.addRecordOf(k)
		}
	}
}

// addRecordOf adds record k of the batch.
func (p *Printer) addRecordOf(k int) {
	r := record.Parse(p.b, k)
	p.addRecord(&r, k)
}
