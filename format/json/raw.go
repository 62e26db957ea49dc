package json

import (
	"strconv"

	"audisp-relay/audit/record"
	"audisp-relay/format"
)

// Kind is the format "json".
var Kind = format.Kind{
	Name:   "json",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,
}

// writeRaw keeps the rules by which docs/json.md has every record rebuilt: each has "raw".
func writeRaw(w *format.Raw, _ any) {
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
	source := ""
	if len(w.Node) > 0 {
		w.Text(w.Node)
	} else {
		w.Put("null")
	}
	if len(w.Node) > 0 && len(w.Batch.Node(w.From)) == 0 {
		source = `,"node_source":"relay"`
	}
	main := record.MainOf(w.Batch.Recs[w.From:w.To])
	if main >= 0 {
		main += w.From
	}
	w.Put(`,"type":`)
	w.Type(max(main, w.From))
	w.Put(`,"record_types":[`)
	for k := w.From; k < w.To; k++ {
		w.Comma(k > w.From)
		w.Type(k)
	}
	w.Put("]")
	if main >= 0 {
		w.Put(`,"raw":`)
		w.Text(w.Batch.Bytes(main))
	}
	w.Put(`,"keys":[],"key":null,"paths":[`)
	listRaw(w, func(k int) bool { return k != main && w.Batch.Recs[k].Type == record.TypePath }, false)
	w.Put(`],"sockaddrs":[`)
	listRaw(w, func(k int) bool { return k != main && w.Batch.Recs[k].Type == record.TypeSockaddr }, false)
	w.Put(`],"other_records":[`)
	listRaw(w, func(k int) bool {
		t := w.Batch.Recs[k].Type
		return k != main && t != record.TypePath && t != record.TypeSockaddr
	}, true)
	w.Put("]" + source)
	if w.Percent {
		w.Put(`,"encoding":"percent"`)
	}
	w.Put("}")
}

// listRaw writes objects with the records that want says.
func listRaw(w *format.Raw, want func(k int) bool, typed bool) {
	n := 0
	for k := w.From; k < w.To; k++ {
		if !want(k) {
			continue
		}
		w.Comma(n > 0)
		n++
		w.Put("{")
		if typed {
			w.Put(`"type":`)
			w.Type(k)
			w.Put(",")
		}
		w.Put(`"raw":`)
		w.Text(w.Batch.Bytes(k))
		w.Put("}")
	}
}
