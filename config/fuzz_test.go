package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// FuzzParse: no panic, no hang; a config within its bounds, errors of one line
// each, or both, and of every key TOML has the line is known.
func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile(samplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(commentedOut.ReplaceAllString(string(sample), "$1")))
	f.Add([]byte("sinks = { a = { type = 'unix', path = \"\"\"/x\"\"\", mode = 1 } }\n[log]\n'a b'.c = [[{d = 1}]] # x"))
	f.Add([]byte("q_depth = 5\n[sinks.a]\ntype = 'syslog\n[sinks.b]\ntype = 'syslog'\n[log\nlevel = 'x'"))
	f.Add([]byte("\ufeff[[a.'b\"c']] \r\nx = '''\n''''' \"\\u0061\" = 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.toml", data)
		if err != nil {
			checkErrors(t, err)
		}
		if c != nil {
			checkConfig(t, c)
		}
		if err == nil && (c == nil || len(c.Sinks) == 0) {
			t.Errorf("no errors and %+v", c)
		}
		checkLines(t, string(data))
	})
}

func checkErrors(t *testing.T, err error) {
	t.Helper()
	var errs Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("not Errors: %v", err)
	}
	line := 0
	for _, e := range errs {
		if strings.ContainsAny(e.Error(), "\n\r\x00") || e.Msg == "" {
			t.Errorf("not one line: %q", e.Error())
		}
		if e.Line < line {
			t.Errorf("line %d after line %d", e.Line, line)
		}
		line = e.Line
	}
}

func checkConfig(t *testing.T, c *Config) {
	t.Helper()
	names, paths := map[string]bool{}, map[string]bool{}
	if c.QDepth < 1 || c.MemoryLimit < minMemory || !filepath.IsAbs(c.RunDir) || !filepath.IsAbs(c.StateDir) {
		t.Errorf("out of bounds: %+v", c)
	}
	for _, s := range c.Sinks {
		if s.Settings == nil || !sinkName(s.Name) || s.QDepth < 1 || s.QDepth > maxQDepth || s.QBytes < minQBytes || (s.Spool.MaxSize != 0 && s.Spool.MaxSize < minSpool) || s.Spool.Sync == "" || s.Format == "" || s.Origin == "" {
			t.Errorf("out of bounds: %+v", s)
		}
		if path := s.Output; names[s.Name] || (path != "" && paths[path]) {
			t.Errorf("twice: %+v", s)
		} else {
			names[s.Name], paths[path] = true, true
		}
	}
}

// checkLines holds the scanner against the library: what the library can read
// the scanner must have read too.
func checkLines(t *testing.T, text string) {
	t.Helper()
	keys, bad := findLines("f.toml", text)
	if bad != nil {
		return
	}
	var root map[string]any
	md, err := toml.Decode(text, &root)
	if err != nil {
		return
	}
	for _, key := range md.Keys() {
		if _, ok := keys[pathOf(key)]; !ok {
			t.Errorf("no line for %q", []string(key))
		}
	}
	for path, line := range keys {
		if line < 1 || line > strings.Count(text, "\n")+1 {
			t.Errorf("line %d for %q", line, path)
		}
	}
}

// FuzzPluginConf: no panic; what is accepted can be turned into a sink within
// its bounds or a one-line error, and so can audispd.conf.
func FuzzPluginConf(f *testing.F) {
	f.Add([]byte(afUnix28))
	f.Add([]byte(syslog28))
	f.Add([]byte(audispd28))
	f.Add([]byte(always("/bin/sh", "-c x 3 string")))
	f.Add([]byte("active = yes\npath = builtin_af_unix\nargs = 0640 /run/a binary 512"))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := Default()
		common, warns := parseAudispd("audispd.conf", data, audispd{Config: *base, maxRestarts: DefaultRestarts}, base)
		if common.QDepth < 1 || common.QDepth > maxQDepth || common.maxRestarts < 0 || common.maxRestarts > MaxRestarts {
			t.Errorf("out of bounds: %+v", common)
		}
		oneLines(t, warns)
		p, bad := parsePluginConf("dir/x.conf", data)
		if bad != nil {
			oneLines(t, []string{bad.Error()})
			return
		}
		if p.active != "yes" {
			return
		}
		s := newPluginSink(p, &common)
		err := p.fill(s, &common)
		oneLines(t, p.warns)
		if err != nil {
			oneLines(t, []string{err.Error()})
			return
		}
		c := *base
		c.Sinks = []Sink{*s}
		checkConfig(t, &c)
	})
}

func oneLines(t *testing.T, texts []string) {
	t.Helper()
	for _, s := range texts {
		if strings.ContainsAny(s, "\n\r\x00") || len(s) > 8<<10 {
			t.Errorf("not one line: %q", s)
		}
	}
}
