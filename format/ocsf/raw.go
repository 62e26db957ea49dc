package ocsf

import (
	"fmt"
	"strconv"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Kind is the format "ocsf".
var Kind = format.Kind{
	Name:   "ocsf",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,

	AddRules:  addRules,
	Processes: true,
}

// addRules puts the names into unmapped, which ends the line where there is one: what comes before it ends with a quotation mark.
func addRules(line []byte, names []string) []byte {
	line = jsontext.Reopen(line)
	if unmapped := line[len(line)-1] == '}'; unmapped {
		line = append(line[:len(line)-1], `,"rules":[`...)
	} else {
		line = append(line, `,"unmapped":{"rules":[`...)
	}
	return append(jsontext.AppendNames(line, names), "]}}\n"...)
}

// writeRaw writes a base event: its records, and in status_detail what went wrong.
func writeRaw(w *format.Raw, fault any) {
	r := &w.Batch.Recs[w.From]
	millis := r.Millis
	if !r.HasID() || millis > record.LastMillis {
		millis = time.Now().UnixMilli()
	}
	w.Put(`{"class_uid":0,"category_uid":0,"activity_id":99,"activity_name":"encoder panicked","type_uid":99,"severity_id":1,"time":`)
	w.Buf = strconv.AppendInt(w.Buf, millis, 10)
	w.Put(`,"metadata":{"version":"` + version + `","product":` + origin)
	if r.HasID() {
		w.Put(`,"original_event_uid":`)
		w.ID()
	}
	if w.Percent {
		w.Put(`,"labels":["encoding:percent"]`)
	}
	w.Put(`},"status_id":99,"status":"encoder panicked","status_detail":`)
	w.Text(fmt.Append(nil, fault))
	if len(w.Node) > 0 {
		w.Put(`,"device":{"type_id":0,"hostname":`)
		w.Text(w.Node)
		w.Put(`,"os":` + linux + `}`)
	}

	var raw []byte
	for k := w.From; k < w.To; k++ {
		raw = w.AppendLine(raw, k)
	}
	w.Put(`,"raw_data":`)
	w.Text(raw)
	w.Put("}")
}
