package ecs

import (
	"fmt"
	"time"

	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Kind is the format "ecs".
var Kind = format.Kind{
	Name:   "ecs",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,

	AddRules:  addRules,
	Processes: true,
}

func addRules(line []byte, names []string) []byte {
	line = jsontext.AppendNames(append(jsontext.Reopen(line), `,"rule":{"name":[`...), names)
	return append(line, "]}}\n"...)
}

// writeRaw says pipeline_error, the schema's kind of such events.
func writeRaw(w *format.Raw, fault any) {
	w.Put(`{"@timestamp":`)
	w.Stamp(time.Now().UTC().Format(`"2006-01-02T15:04:05.000Z"`))
	w.Put(`,"event":{`)
	if w.Batch.Recs[w.From].HasID() {
		w.Put(`"id":`)
		w.ID()
		w.Put(",")
	}
	w.Put(`"kind":"pipeline_error","module":"auditd","original":`)
	w.Lines()
	w.Put(`},"error":{"message":`)
	w.Text(fmt.Append([]byte("encoder panicked: "), fault))
	w.Put(`},"service":{"type":"auditd"},"host":{`)
	if len(w.Node) > 0 {
		w.Put(`"name":`)
		w.Text(w.Node)
		w.Put(",")
	}
	w.Put(`"os":{"type":"linux"}}`)
	if w.Percent {
		w.Put(`,"labels":{"encoding":"percent"}`)
	}
	w.Put(`,"ecs":{"version":"` + version + `"}}`)
}
