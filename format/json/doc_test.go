package json

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// docTables are the tables of docs/json.md.
type docTables struct {
	classes map[string]string          // by key
	arches  map[string]string          // number by name
	own     map[string]map[string]bool // names of the format's own by place
}

// readDoc reads the tables of docs/json.md.
func readDoc(t testing.TB) *docTables {
	t.Helper()
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	d := &docTables{classes: map[string]string{}, arches: map[string]string{}, own: map[string]map[string]bool{}}
	for _, class := range []string{"Int", "UserID", "Session", "Text", "Hex"} {
		for _, key := range list(t, text, class) {
			if d.classes[key] != "" {
				t.Errorf("%s is in two classes", key)
			}
			d.classes[key] = class
		}
	}
	for _, a := range list(t, text, "arch") {
		name, code, _ := strings.Cut(a, "=")
		d.arches[name] = code
	}
	own := func(place string, keys []string) {
		d.own[place] = map[string]bool{}
		for _, k := range keys {
			d.own[place][k] = true
		}
	}
	record := []string{"raw", "tail", "words", "quoted", "literal", "blanks", "spelled", "separator", "seperms"}
	var members []string
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllSubmatch(text, -1) {
		for _, k := range strings.Split(string(m[1]), ", ") {
			members = append(members, strings.Trim(k, "`"))
		}
	}
	members = slices.DeleteFunc(members, func(s string) bool { return s == "key" || s == "seresult" || strings.Contains(s, "=") })
	if len(members) != 42 {
		t.Fatalf("members of the event: %q", members)
	}
	own("event", members)
	own("other_records", append([]string{"type", "keys"}, record...))
	own("paths", record)
	own("sockaddrs", append(list(t, text, "saddr"), record...))
	own("msg", []string{"words", "quoted", "literal", "blanks", "seperms"})
	everywhere := []string{"syscall_number", "uring_op_name"}
	for key, class := range d.classes {
		if class == "UserID" {
			everywhere = append(everywhere, d.nameOf(key))
		}
	}
	own("everywhere", everywhere)
	return d
}

// list returns the words of the block "    NAME: word word ...".
func list(t testing.TB, text []byte, name string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ +` + name + `: (.*(\n {6,}.*)*)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/json.md has no table %q", name)
	}
	return strings.Fields(string(m[1]))
}

func (d *docTables) classOf(typ, key string) string {
	switch {
	case key == "dev" && (typ == "AVC" || typ == "LANDLOCK_ACCESS" || typ == "UNKNOWN[1423]" || integrity.MatchString(typ)):
		return "Text"
	case key == "fp" && typ == "CRYPTO_KEY_USER":
		return "Plain"
	}
	if c := d.classes[key]; c != "" {
		return c
	}
	return "Plain"
}

var integrity = regexp.MustCompile(`^(INTEGRITY_.*|UNKNOWN\[18\d\d\])$`)

// nameOf returns the member that holds the name of an id.
func (d *docTables) nameOf(key string) string {
	switch key {
	case "uid", "auid", "euid", "suid", "fsuid", "ouid", "oauid", "iuid", "sauid", "old-auid":
		return strings.TrimSuffix(key, "uid") + "user"
	case "gid", "egid", "sgid", "fsgid", "ogid", "igid":
		return strings.TrimSuffix(key, "gid") + "group"
	}
	return key + "_name"
}

func TestDocHasTheClassesOfRecords(t *testing.T) {
	doc := readDoc(t)
	file, err := parser.ParseFile(token.NewFileSet(), "../../audit/record/class.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name != "ClassOf" {
			return false
		}
		c, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, k := range c.List {
			key, _ := strconv.Unquote(k.(*ast.BasicLit).Value)
			known[key] = c.Body[0].(*ast.ReturnStmt).Results[0].(*ast.Ident).Name
		}
		return true
	})
	if len(known) < 100 {
		t.Fatalf("%d classes found", len(known))
	}
	for key, class := range known {
		if doc.classes[key] != class {
			t.Errorf("%s is %s, in docs/json.md %q", key, class, doc.classes[key])
		}
	}
	for key, class := range doc.classes {
		if known[key] != class {
			t.Errorf("%s is %s in docs/json.md, not in audit/record", key, class)
		}
	}
	for typ := range uint32(3000) {
		for key := range known {
			name := string(typeName(typ))
			classes := []string{"Plain", "Int", "UserID", "Session", "Text", "Hex"}
			if got := classes[record.ClassIn(typ, []byte(key))]; got != doc.classOf(name, key) && name != "EXECVE" {
				t.Errorf("%s in %s is %s, in docs/json.md %s", key, name, got, doc.classOf(name, key))
			}
		}
		if got := record.ClassIn(typ, []byte("dev")) == record.Text; got != (doc.classOf(string(typeName(typ)), "dev") == "Text") {
			t.Errorf("dev in %s: text %v", typeName(typ), got)
		}
	}
}

func TestDocHasTheArches(t *testing.T) {
	doc := readDoc(t)
	n := 0
	for high := range uint32(8) {
		for low := range uint32(1 << 16) {
			code := high<<29 | low
			name := record.ArchName(code)
			if name == "" {
				continue
			}
			n++
			if doc.arches[name] != strconv.FormatUint(uint64(code), 16) {
				t.Errorf("%s is %x, in docs/json.md %q", name, code, doc.arches[name])
			}
		}
	}
	if n != len(doc.arches) {
		t.Errorf("docs/json.md has %d arches, audit/record %d", len(doc.arches), n)
	}
}

func TestDocHasTheNamesOfTheFormat(t *testing.T) {
	doc := readDoc(t)
	places := map[string]level{"event": top, "other_records": other, "paths": path, "sockaddrs": sockaddr, "msg": message}
	for place, l := range places {
		for key := range doc.own[place] {
			if key != "@timestamp" && reserved[key]&l == 0 {
				t.Errorf("%s is not reserved in %s", key, place)
			}
		}
		for key := range doc.own["everywhere"] {
			if reserved[key]&l == 0 {
				t.Errorf("%s is not reserved in %s", key, place)
			}
		}
		for key, levels := range reserved {
			if levels&l != 0 && !doc.own[place][key] && !doc.own["everywhere"][key] {
				t.Errorf("docs/json.md does not say that %s is reserved in %s", key, place)
			}
		}
	}
	for n := uint32(record.FirstType); n <= record.LastType; n++ {
		known := newType(n, "")
		for _, st := range known.steps {
			if key := string(st.key); isReserved(n, top|other, []byte(key)) {
				t.Errorf("%s of %s is reserved", key, known.name)
			}
		}
	}
}
