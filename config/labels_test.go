package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestLabels: what is wrong in [process_labels] is said with its place and left out.
func TestLabels(t *testing.T) {
	text := `[process_labels]
keys = ["software", "ssh"]
propagate = ["java", "jav", "software"]
wrong = 1

[process_labels.exe]
java = ['^/opt/.*/bin/java$', '(', '^/usr/lib/jvm/']
"*" = '^/x$'
number = 5
empty = ""
"with ` + "\\u0007" + `" = '^/y$'

[process_labels.script]
maint = '^/root/maint-.*\.sh$'

[process_labels.cmdline]
weblogic = ['^\S*java .*-Dweblogic', '*']

[process_labels.unlabel_exe]
java = 'bin/php$'
ruby = 'bin/php$'

[process_labels.unlabel_script]
maint = '(a{1000}){1000}'

[process_labels.unlabel_cmdline]
java = '--version'
weblogix = 'x'

[sinks.a]
type = "file"
path = "/var/log/a"
filter = '"java" in labels'
`
	c, warns, err := parse("t.toml", []byte(text))
	var got []string
	for _, e := range asErrors(err, "", 0, "") {
		got = append(got, e.Error())
	}
	for _, want := range []string{
		`t.toml:3: process_labels.propagate: there is no label "jav": it has ["software" "ssh" "java" "weblogic" "maint"]`,
		`t.toml:4: process_labels.wrong: unknown key`,
		`t.toml:7: process_labels.exe.java: no regular expression: error parsing regexp: missing closing )`,
		`t.toml:8: process_labels.exe."*": "*" is no name for a label`,
		`t.toml:9: process_labels.exe.number: is an integer, must be a string`,
		`t.toml:10: process_labels.exe.empty: is empty`,
		`process_labels.exe."with`,
		`t.toml:17: process_labels.cmdline.weblogic: no regular expression: error parsing regexp: missing argument to repetition operator`,
		`t.toml:21: process_labels.unlabel_exe.ruby: there is no label "ruby"`,
		`t.toml:24: process_labels.unlabel_script.maint:`,
		`t.toml:28: process_labels.unlabel_cmdline.weblogix: there is no label "weblogix"`,
	} {
		if !slices.ContainsFunc(got, func(e string) bool { return strings.Contains(e, want) }) {
			t.Errorf("no error %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(got) != 11 || len(warns) != 0 {
		t.Errorf("%d errors: %q, warnings %q", len(got), got, warns)
	}
	if names := c.Labels.Names(); !slices.Equal(names, []string{"software", "ssh", "java", "weblogic", "maint"}) {
		t.Errorf("labels %q", names)
	}
	if len(c.Sinks) != 1 {
		t.Errorf("sinks %v", c.Sinks)
	}

	again, _, _ := parse("t.toml", []byte(text))
	other, _, _ := parse("t.toml", []byte(strings.Replace(text, "php", "pyp", 1)))
	if !c.Labels.Equal(again.Labels) || c.Labels.Equal(other.Labels) || c.Labels.Equal(nil) {
		t.Error("labels that say the same are equal, and no others")
	}
}

// TestLabelsThatAreNamed: a filter or a rule that names a label which no process gets holds for no event, or for all.
func TestLabelsThatAreNamed(t *testing.T) {
	const sink = "[sinks.a]\ntype = 'file'\npath = '/var/log/a'\nfilter = '''\n%s'''\n"
	const given = "[process_labels]\nkeys = ['java', 'up']\n"
	for _, tt := range []struct {
		text string
		want []string
	}{
		{given + fmt.Sprintf(sink, `"java" in labels or label == "up" or label == ""`), nil},
		{given + fmt.Sprintf(sink, `"jav" not in labels`), []string{`t.toml:6: sinks.a.filter: names the label "jav", which no process gets: give it in [process_labels], or write "java"`}},
		{fmt.Sprintf(sink, `label in ["x", "java"] and any(labels, # == "x") and comm == "y"`), []string{
			`t.toml:4: sinks.a.filter: names the label "x", which no process gets: give it in [process_labels]`,
			`t.toml:4: sinks.a.filter: names the label "java", which`}},
		{given + "[rules]\n'a' = '\"soft\" in labels'\n'b' = 'label != \"up\"'\n" + fmt.Sprintf(sink, `"a" in rules`), []string{`t.toml:4: rules.a: names the label "soft", which`}},
		{fmt.Sprintf(sink, `labels[0] == "first" or label contains "x" or comm == "java"`), []string{`names the label "first", which`}},
	} {
		_, warns, err := parse("t.toml", []byte(tt.text))
		if err != nil || len(warns) != len(tt.want) {
			t.Errorf("%s%v, warnings %q", tt.text, err, warns)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(warns[i], want) {
				t.Errorf("%s%s, want %s", tt.text, warns[i], want)
			}
		}
	}
}

// TestLabelsThatNobodyGets: without process_context there are none.
func TestLabelsThatNobodyGets(t *testing.T) {
	const labels = "[process_labels]\nkeys = ['a']\n[sinks.a]\ntype = 'file'\npath = '/var/log/a'\n"
	if _, warns, err := parse("t.toml", []byte("process_context = false\n"+labels)); err != nil || len(warns) != 1 || !strings.Contains(warns[0], "process_labels, process_cgroup and process_hash do nothing") {
		t.Errorf("%v, warnings %q", err, warns)
	}
	if c, warns, err := parse("t.toml", []byte(strings.Replace(labels, "'a'", "", 1))); err != nil || len(warns) != 0 || c.Labels != nil {
		t.Errorf("an empty table: %v, warnings %q, labels %v", err, warns, c.Labels)
	}
}
