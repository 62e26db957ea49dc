package json

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/testdata/captures"
)

// TestEventsBeforeDoNotShow: an encoder that has written other events, nearly the same ones
// among them, writes an event as a new one does.
func TestEventsBeforeDoNotShow(t *testing.T) {
	var known []record.Batch
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-raw.string.gz", "audit-2.8.5-audispd.string.gz"} {
		audittest.Events(t, captures.Read(t, name), func(b *record.Batch, i, j int) {
			if j-i > 1 {
				known = append(known, copyOf(b, i, j))
			}
		})
	}
	for _, o := range []Options{{}, {Users: fakeUsers{}}, {Node: "far%"}} {
		rapid.Check(t, func(t *rapid.T) {
			e := New(o)
			from := rapid.IntRange(0, len(known)-2).Draw(t, "from")
			pool := known[from : from+2 : from+2]
			for range rapid.IntRange(2, 10).Draw(t, "events") {
				b := rapid.SampledFrom(pool).Draw(t, "event")
				if rapid.Bool().Draw(t, "altered") {
					b = altered(t, b)
					pool = append(pool, b)
				}
				got, want := e.AppendEvent(nil, &b, 0, len(b.Recs)), New(o).AppendEvent(nil, &b, 0, len(b.Recs))
				if !bytes.Equal(got, want) {
					t.Fatalf("%s\nanew: %s", got, want)
				}
			}
		})
	}
}

func copyOf(from *record.Batch, i, j int) (b record.Batch) {
	for ; i < j; i++ {
		b = appendRecord(b, from.Recs[i], from.Bytes(i))
	}
	return b
}

// altered returns b with some bytes that are others, which may end a value or open and close
// quotes; with a field in front of others; or with a record twice.
func altered(t *rapid.T, b record.Batch) (out record.Batch) {
	at := rapid.IntRange(0, len(b.Recs)-1).Draw(t, "record")
	for i := range b.Recs {
		text := bytes.Clone(b.Bytes(i))
		body := bytes.Index(text, []byte("): ")) + 3
		if i == at && body > 2 && body < len(text)-1 {
			switch rapid.IntRange(0, 2).Draw(t, "alteration") {
			case 0:
				text[rapid.IntRange(body, len(text)-2).Draw(t, "at")] = rapid.SampledFrom([]byte("0123456789abAF \"'=%\x1d\x00\xff-()uidg")).Draw(t, "byte")
			case 1:
				field := rapid.SampledFrom([]string{"uid=0 ", "key=\"k\" ", "words ", "x=1 ", `tty="q" `, "mode=1 ", "name=FF ", `comm="a%b" `}).Draw(t, "field")
				text = append(append(bytes.Clone(text[:body]), field...), text[body:]...)
			case 2:
				out = appendRecord(out, b.Recs[i], text)
			}
		}
		out = appendRecord(out, b.Recs[i], text)
	}
	return out
}

func appendRecord(b record.Batch, rec record.Record, text []byte) record.Batch {
	rec.Off, rec.Len = uint32(len(b.Buf)), uint32(len(text))
	b.Buf, b.Recs = append(b.Buf, text...), append(b.Recs, rec)
	return b
}

// TestMemoFitsTheSameRecordOnly: records that end in the same bytes and are not the same otherwise.
func TestMemoFitsTheSameRecordOnly(t *testing.T) {
	doc := readDoc(t)
	const (
		head = "type=SYSCALL msg=audit(1.000:1): "
		tail = `ppid=1 pid=2 auid=1 uid=0 tty=pts0 comm="a%b" exe="/b"`
		hex  = `ppid=1 pid=2 auid=1 comm=2025 exe="/b"`
		eoe  = "\ntype=EOE msg=audit(1.000:1): \n"

		path   = "type=PATH msg=audit(1.000:1): item=0 name=\"/b\" "
		open   = `auid=1 tty="a comm=`
		tick   = `auid=1 tty='a comm=`
		config = "type=CONFIG_CHANGE msg=audit(1.000:1): op=add_rule key=\"c\" list=4 res=1\n"
		keyed  = ` key="k"`
	)
	for name, list := range map[string][]string{
		"a field is there twice": {head + tail + eoe, head + "uid=0 " + tail + eoe},
		"and one after it":       {head + tail + ` x=1` + eoe, head + "x=1 " + tail + ` x=1` + eoe},
		"words":                  {head + tail + ` one two` + eoe, head + "one two " + tail + ` one two` + eoe},
		"in quotes":              {head + tail + ` ses="1"` + eoe, head + tail + ` ses="1"` + eoe},
		"a name is not UTF-8":    {head + tail + eoe, head + tail + "\ntype=PATH msg=audit(1.000:1): item=0 name=FF" + eoe},
		"a '%' in hex":           {head + hex + eoe, head + hex + "\ntype=PATH msg=audit(1.000:1): item=0 name=FF" + eoe},
		"and the first":          {head + tail + "\ntype=PATH msg=audit(1.000:1): item=0 name=FF" + eoe, head + tail + eoe},
		"a program's text":       {"type=USER msg=audit(1.000:1): pid=1 msg='op=a%b acct=\"a%b\"'\ntype=CWD msg=audit(1.000:1): cwd=FF\n"},
		"the title":              {"type=PROCTITLE msg=audit(1.000:1): proctitle=\"a%b\"\n", "type=PROCTITLE msg=audit(1.000:1): proctitle=\"a%b\"\ntype=CWD msg=audit(1.000:1): cwd=FF\n"},
		"the title first":        {"type=PROCTITLE msg=audit(1.000:1): proctitle=\"a%b\"\ntype=CWD msg=audit(1.000:1): cwd=FF\n", "type=PROCTITLE msg=audit(1.000:1): proctitle=\"a%b\"\n"},
		"a field comes later":    {path + `dev=fe:00 inode=6 nametype=NORMAL` + eoe, path + `inode=5 dev=fe:00 inode=6 nametype=NORMAL` + eoe},
		"without a device":       {path + `nametype=UNKNOWN cap_fp=0` + eoe, path + `inode=5 nametype=UNKNOWN cap_fp=0` + eoe, path + `nametype=UNKNOWN cap_fp=0 inode=5` + eoe},
		"twice, after the part":  {head + tail + eoe, head + tail + ` uid=0` + eoe, head + tail + ` tty=pts0` + eoe},
		"a quote is open":        {head + open + `"x" exe="/b"` + eoe, head + open + `"" exe="/b"` + eoe, head + open + `" x=" exe="/b"` + eoe},
		"a single one":           {head + tick + `x' exe="/b"` + eoe, head + tick + `'x exe="/b"` + eoe, head + tick + `x exe="/b"` + eoe},
		"words in the part":      {head + `auid=1 ses=1 one two comm="x"` + eoe, head + `auid=1 ses=1 comm="x"` + eoe},
		"it ends at once":        {head + `auid=1 uid=0` + eoe, head + `auid=1 uid=0 comm="x"` + eoe, head + `auid=1 uid=0  comm="x"` + eoe},
		"keys of others":         {head + tail + keyed + eoe, config + head + tail + keyed + eoe, config + head + tail + eoe, head + tail + keyed + eoe},
		"and no name":            {head + `auid=1 uid=0` + keyed + eoe, config + head + `auid=1 uid=0` + keyed + eoe, head + `auid=1 uid=0 key=(null)` + eoe, config + head + `auid=1 uid=0 key=(null)` + eoe},
		"names end":              {head + "pid=1 auid=1" + eoe, head + "arch=c000003e pid=1 auid=1\x1dARCH=x86_64" + eoe, head + "pid=1 auid=1\x1d" + eoe},
	} {
		e := New(Options{})
		for _, text := range append(list, list...) {
			var lines record.Batch
			if err := stream.NewReader(bytes.NewReader([]byte(text))).Next(&lines); err != nil {
				t.Fatal(err)
			}
			got, want := checkEvent(t, doc, e, &lines, 0, len(lines.Recs)), New(Options{}).AppendEvent(nil, &lines, 0, len(lines.Recs))
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %sanew: %s", name, got, want)
			}
		}
	}
}
