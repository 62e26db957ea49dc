package laurel

import (
	"audisp-relay/format"
	"audisp-relay/format/jsontext"
)

// Kind is the format "laurel".
var Kind = format.Kind{
	Name:   "laurel",
	Format: format.Events,
	New:    func(o format.Options) format.EventEncoder { return New(o) },
	Raw:    writeRaw,

	AddRules:  addRules,
	Processes: true,
}

func addRules(line []byte, names []string) []byte {
	line = jsontext.AppendNames(append(jsontext.Reopen(line), `,"RULES":[`...), names)
	return append(line, "]}\n"...)
}

// writeRaw writes the event under RAW, laurel's key for a record that it cannot read.
func writeRaw(w *format.Raw, _ any) {
	w.Percent = true // laurel always writes %25
	w.Put(`{"ID":`)
	w.ID()
	if len(w.Node) > 0 {
		w.Put(`,"NODE":`)
		w.Text(w.Node)
	}
	w.Put(`,"RAW":`)
	w.Lines()
	w.Put("}")
}
