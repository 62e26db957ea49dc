package packaging_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	_ "audisp-relay/sinks/all"
)

// TestMessagesDocumented looks for every message of the relay's log in
// docs/messages.md.
func TestMessagesDocumented(t *testing.T) {
	doc := readFile(t, "../docs/messages.md")
	found := 0
	for _, dir := range []string{"../plugin", "../sinks"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "sinktest":
				return fs.SkipDir
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, msg := range messages(file) {
				found++
				if !strings.Contains(doc, strings.TrimSpace(msg)) {
					t.Errorf("docs/messages.md lacks %q (%s)", msg, path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 20 {
		t.Errorf("only %d messages found in the code: has the way of logging changed?", found)
	}
}

// messages returns what a file logs: the first argument of each call of a
// logger's method, and each value of a field msg. Of a message that is put
// together it is the constant beginning.
func messages(file *ast.File) (list []string) {
	add := func(e ast.Expr) {
		if text, ok := beginning(e); ok {
			list = append(list, text)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
				switch sel.Sel.Name {
				case "Debug", "Info", "Warn", "Error":
					add(n.Args[0])
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "msg" {
				add(n.Value)
			}
		}
		return true
	})
	return list
}

// beginning returns the constant text that an expression begins with.
func beginning(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return beginning(e.X)
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	}
	return "", false
}

// TestSinksDocumentFormats holds the formats in the sinks' READMEs against those that a
// configuration may name.
func TestSinksDocumentFormats(t *testing.T) {
	needs := map[string]string{"unix": "path = '/run/x'\n", "file": "path = '/x'\n", "syslog": "", "program": "path = '/x'\n", "otlp": "url = 'https://h'\n", "nats": "servers = ['nats://x']\n"}
	row := regexp.MustCompile("(?m)^\\| `format` \\|[^|]*\\|([^|]*)\\|")
	for kind, keys := range needs {
		match := row.FindStringSubmatch(readFile(t, "../sinks/"+kind+"/README.md"))
		if match == nil {
			t.Errorf("sinks/%s/README.md has no row for format", kind)
			continue
		}
		for _, name := range format.Names() {
			_, err := config.Parse("t.toml", []byte("[sinks.a]\ntype = '"+kind+"'\n"+keys+"format = '"+name+"'\n"))
			if allowed, said := err == nil, strings.Contains(match[1], "`"+name+"`"); allowed != said {
				t.Errorf("sinks/%s/README.md: format %s is allowed: %v, documented: %v", kind, name, allowed, said)
			}
		}
	}
}

// TestSpoolDocumentsFlags holds the flags of a record in docs/spool.md against those of the code.
func TestSpoolDocumentsFlags(t *testing.T) {
	want := fmt.Sprintf("flags: %d no id, %d continues in the next, %d continues the one before, %d from audit.log, %d after later ones, %d loss marker, %d end of an event, %d of one that was not complete",
		record.NoID, record.Open, record.Cont, record.FromLog, record.Late, record.Marker, record.End, record.Partial)
	if !strings.Contains(readFile(t, "../docs/spool.md"), want) {
		t.Errorf("docs/spool.md lacks %q", want)
	}
}
