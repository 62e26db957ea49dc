package json

import (
	"slices"
	"strconv"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Kind is the format "json".
var Kind = format.Kind{
	Name:   "json",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,

	AddRules:  addRules,
	Processes: true,
}

func addRules(line []byte, names []string) []byte {
	line = jsontext.AppendNames(append(jsontext.Reopen(line), `,"rules":[`...), names)
	return append(line, "]}\n"...)
}

// writeRaw keeps the rules by which docs/json.md has every record rebuilt: each has "raw".
func writeRaw(w *format.Raw, _ any) {
	main := record.MainOf(w.Batch.Recs[w.From:w.To])
	source := writeRawHeader(w, main)
	raw := func(k int) {
		w.Put(`"raw":`)
		w.Text(w.Batch.Bytes(k))
	}
	if main >= 0 {
		w.Put(",")
		raw(w.From + main)
	}

	typed := func(types ...uint32) func(k int) bool {
		return func(k int) bool { return k != w.From+main && slices.Contains(types, w.Batch.Recs[k].Type) }
	}
	object := func(k int) {
		w.Put("{")
		raw(k)
		w.Put("}")
	}
	w.Put(`,"keys":[],"key":null,"paths":`)
	w.List(typed(record.TypePath), object)
	w.Put(`,"sockaddrs":`)
	w.List(typed(record.TypeSockaddr), object)
	w.Put(`,"other_records":`)
	placed := typed(record.TypePath, record.TypeSockaddr)
	w.List(func(k int) bool { return k != w.From+main && !placed(k) }, func(k int) {
		w.Put(`{"type":`)
		w.Type(k)
		w.Put(",")
		raw(k)
		w.Put("}")
	})
	w.Put(source)
	switch w.Batch.Recs[w.From].Kind {
	case record.Ver0:
		w.Put(`,"frame":0`)
	case record.Ver1:
		w.Put(`,"frame":1`)
	}
	if w.Percent {
		w.Put(`,"encoding":"percent"`)
	}
	w.Put("}")
}

// writeRawHeader writes what is known of an event from the header of its main record, -1 for none. source is the member that says where
// the name of its node is from, "" where that is its records.
func writeRawHeader(w *format.Raw, main int) (source string) {
	w.Put(`{"@timestamp":`)
	w.Stamp("null")
	w.Put(`,"id":`)
	w.ID()
	w.Put(`,"serial":`)
	if r := &w.Batch.Recs[w.From]; r.HasID() {
		w.Buf = strconv.AppendUint(w.Buf, uint64(r.Serial), 10)
	} else {
		w.Put("null")
	}
	w.Put(`,"node":`)
	if len(w.Node) == 0 {
		w.Put("null")
	} else if w.Text(w.Node); len(w.Batch.Node(w.From)) == 0 {
		source = `,"node_source":"relay"`
	}

	w.Put(`,"type":`)
	w.Type(w.From + max(main, 0))
	w.Put(`,"record_types":`)
	w.List(nil, w.Type)
	return source
}
