package ocsf

import (
	"net/netip"
	"strings"

	"audisp-relay/audit/record"
)

// longestIP is how many bytes an address has at most (dictionary.json, ip_t). One of IPv6 with all its zeros that ends
// in one of IPv4 has more.
const longestIP = 40

// isIP reports whether a text is an address as the schema wants it.
func isIP(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Zone() == "" && len(s) <= longestIP
}

// writeUnmapped writes what the schema has no place for, decoded: the fields of the record that says what
// kind of event it is as members, the other records one by one.
func (e *Encoder) writeUnmapped() {
	w := &e.w
	m := w.Open("unmapped", '{')
	if e.ev.lead != nil {
		e.writeRest(e.ev.lead)
	}
	e.writeKeys()
	e.writeArgs()
	e.writeSelf()

	a := w.Open("records", '[')
	for k := range e.recs {
		r := &e.recs[k]
		if r == e.ev.lead || len(r.ID) == 0 || !e.hasRest(r) {
			continue
		}
		o := w.OpenItem()
		w.Str("type", r.name)
		e.writeRest(r)
		w.Close(o, '}')
	}
	w.Close(a, ']')
	w.Close(m, '}')
}

// writeRest writes the fields of a record that have no place. Of a name that both the kernel and a program have
// used, the kernel's counts.
func (e *Encoder) writeRest(r *parsedRecord) {
	for i := r.from; i < r.to; i++ {
		f := &e.fields[i]
		if !e.isRest(r, f) {
			continue
		}
		key := f.key
		switch key {
		case "args", "container_id", "keys", "labels", "records", "rules", "script", "systemd_unit", "type":
			from := len(e.text)
			e.text = append(append(e.text, key...), '_')
			key = record.Alias(e.text[from:])
			if e.lookFor(r, key, false) != nil || e.lookFor(r, key, true) != nil {
				continue
			}
		}
		e.w.Str(key, f.val)
	}
}

func (e *Encoder) hasRest(r *parsedRecord) bool {
	for i := r.from; i < r.to; i++ {
		if e.isRest(r, &e.fields[i]) {
			return true
		}
	}
	return false
}

// isRest reports whether unmapped shows a field under its name.
func (e *Encoder) isRest(r *parsedRecord, f *field) bool {
	return !f.placed && (f.key != "key" || f.nested) && !(f.nested && e.lookFor(r, f.key, false) != nil)
}

// writeKeys writes the keys of the rules, which programs do not set.
func (e *Encoder) writeKeys() {
	w := &e.w
	a := w.Open("keys", '[')
	for k := range e.recs {
		if val := e.value(&e.recs[k], "key"); val != "" && len(e.recs[k].ID) > 0 {
			for key := range strings.SplitSeq(val, string(rune(record.KeySeparator))) {
				w.Item(key)
			}
		}
	}
	w.Close(a, ']')
}

// writeSelf writes what is known of the process and has no place in the schema.
func (e *Encoder) writeSelf() {
	c, w := &e.process, &e.w
	if c.Self == nil {
		return
	}
	w.Some("script", c.Self.Script())
	w.Some("systemd_unit", c.Unit())
	w.Some("container_id", c.Container())
	a := w.Open("labels", '[')
	for label := range c.Labels {
		w.Item(label)
	}
	w.Close(a, ']')
}

// writeArgs writes the arguments of an execve one by one, null for one that no record has.
func (e *Encoder) writeArgs() {
	if !e.execve {
		return
	}
	w := &e.w
	a := w.Open("args", '[')
	for i := range e.args.Len() {
		if arg, state := e.args.Arg(i); state != record.ArgMissing {
			w.Item(record.Alias(arg))
		} else {
			w.Comma()
			w.Buf = append(w.Buf, "null"...)
		}
	}
	w.Close(a, ']')
}
