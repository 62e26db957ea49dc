package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const testHost = "0123456789abcdef0123456789abcdef"

func testHeader() Header {
	return Header{
		Host: testHost, Name: "web-1.example", Boot: strings.Repeat("ab", 16), Epoch: "00112233445566ff", Sink: "siem",
		Seq: 17, Count: 3, Last: Last{Millis: 1700000000007, Serial: 99, N: 2}, Format: "string", Encoding: Zstd,
		Part:  Part{2, 3},
		First: time.UnixMilli(1700000000001).UTC(), Until: time.UnixMilli(1700000000007).UTC(),
	}
}

func getter(m map[string][]string) func(string) string {
	return func(name string) string {
		if v := m[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
}

func TestHeaderComesBack(t *testing.T) {
	small := Header{Host: testHost, Epoch: NewEpoch(), Sink: "a", Seq: 1}
	for _, want := range []Header{testHeader(), small} {
		m := want.Map()
		var got Header
		if err := got.Parse(getter(m)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	whole := testHeader()
	m := whole.Map()
	for name, want := range map[string]string{
		NameLast: "1700000000.007:99/2", NamePart: "2/3", NameFirst: "2023-11-14T22:13:20.001Z", NameSeq: "17",
	} {
		if got := getter(m)(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestParseNamesTheWrongField(t *testing.T) {
	for name, values := range map[string][]string{
		NameHost:     {"", "x", strings.ToUpper(testHost), strings.Repeat("0", 32), testHost + "0"},
		NameName:     {"a\x1b[2J", strings.Repeat("x", 256), "a\nb", "\xff"},
		NameBoot:     {"x"},
		NameEpoch:    {"", "0", "00112233445566FF"},
		NameSink:     {"", "a\tb"},
		NameSeq:      {"", "0", "-1", "+1", "1.0", "18446744073709551616", "9223372036854775808"},
		NameCount:    {"", "x", " 1"},
		NameLast:     {"1", "1.7:3/1", "1.007:3", "1.007:4294967296/1", "-1.007:3/1", "999999999999999.000:1/1"},
		NamePart:     {"0/3", "4/3", "1/", "1/65537", "1/+1"},
		NameFormat:   {"a b", strings.Repeat("a", 33)},
		NameEncoding: {"GZIP"},
		NameFirst:    {"yesterday", "2023-11-14T22:13:20." + strings.Repeat("0", 600) + "Z"},
	} {
		for _, value := range values {
			h := testHeader()
			m := h.Map()
			m[name] = []string{value}
			before := h
			err := h.Parse(getter(m))
			switch {
			case err == nil:
				t.Errorf("%s = %q was taken", name, value)
			case h != before:
				t.Errorf("%s = %q changed the header", name, value)
			case !strings.Contains(err.Error(), "Audit-") || strings.ContainsAny(err.Error(), "\n\x1b"):
				t.Errorf("%s = %q: %q", name, value, err)
			}
		}
	}
}

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		Subject(Records, testHost):         Records,
		Subject(Events, testHost):          Events,
		Subject(Checkpoints, testHost):     Checkpoints,
		PartSubject(Records, 31, testHost): Records,
	} {
		kind, host, ok := SplitSubject(subject)
		if kind != want || host != testHost || !ok {
			t.Errorf("%s: %q %q %v", subject, kind, host, ok)
		}
	}
	for _, subject := range []string{"", "audit", "audit.rec", "audit.rec.x", "other.rec." + testHost, "audit.x." + testHost,
		"audit.rec.1.2." + testHost, "audit.rec.x." + testHost, "audit.rec.1024." + testHost} {
		if _, _, ok := SplitSubject(subject); ok {
			t.Errorf("%q was taken", subject)
		}
	}
	for name, want := range map[string]bool{
		"AUDIT_REC": true, "AUDIT_REC_0": true, "AUDIT_REC_31": true, "AUDIT_REC_": false, "AUDIT_REC_01": false,
		"AUDIT_REC_x": false, "AUDIT_RECS": false, "AUDIT_EVT": false, "AUDIT_REC_1024": false, "AUDIT_REC_70000": false,
	} {
		if IsRecordStream(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// The numbers are FNV-1a's published test vectors, modulo a prime.
func TestPartitionIsFNV1a(t *testing.T) {
	for text, sum := range map[string]uint32{"": 0x811c9dc5, "a": 0xe40c292c, "foobar": 0xbf9cf968} {
		if got, want := Partition(text, 1009), int(sum%1009); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if Partition(testHost, 0) != 0 {
		t.Error("without partitions there is one")
	}
}

func TestCleanLeavesNoControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"web-1": "web-1", "a\x1b[31mb": "a?[31mb", "\u009b2J": "?2J", "x\xffy": "x?y", "é\n": "é?", "ééé": "éé",
	} {
		if got := Clean(text, 9); text != "ééé" && got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := Clean("ééé", 5); got != "éé" {
		t.Errorf("cut within a character: %q", got)
	}
}

func FuzzHeader(f *testing.F) {
	h := testHeader()
	for _, field := range h.Append(nil) {
		f.Add(field.Name, field.Value)
	}
	f.Add(NameName, "\x1b]0;x\a")
	f.Fuzz(func(t *testing.T, name, value string) {
		m := h.Map()
		m[name] = []string{value}
		var got, again Header
		if got.Parse(getter(m)) != nil {
			return
		}
		if err := again.Parse(getter(got.Map())); err != nil || again != got {
			t.Errorf("%s = %q: %+v, then %+v, %v", name, value, got, again, err)
		}
		for _, field := range got.Append(nil) {
			if strings.ContainsAny(field.Value, "\x00\r\n\x1b") {
				t.Errorf("%s = %q", field.Name, field.Value)
			}
		}
	})
}
