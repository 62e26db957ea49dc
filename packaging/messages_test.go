package packaging_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
