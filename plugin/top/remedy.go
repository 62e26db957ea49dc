package top

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"audisp-relay/audit/record"
)

// Shares from which on something is worth a rule: of a name, and of a feedback loop.
const worthIt, loopWorthIt = 0.1, 0.01

// Remedy is how to have less of the name of one kind that makes most. A rule stops records in the
// kernel, for all; a filter keeps them from one sink, and auditd still writes them to its log. What
// cannot be had is empty, and Note says why.
type Remedy struct {
	By    string  `json:"by"`
	Name  string  `json:"name"`
	Share float64 `json:"share"`
	Own   bool    `json:"own,omitempty"` // most of it is what the relay or a child of it did
	// Load is a command that loads a rule now, before all others; RulesD the rule as a line for a
	// file of /etc/audit/rules.d that is read before all others. Both mean the same. They need no
	// quotes.
	Load   string `json:"load,omitempty"`
	RulesD string `json:"rules_d,omitempty"`
	Filter string `json:"filter,omitempty"` // an expression for filter of a sink
	Hides  string `json:"hides,omitempty"`  // what the rule hides besides
	Note   string `json:"note,omitempty"`
}

// remedy finds the worst name of each kind, and feedback loops, and what there is against them.
func (r *Report) remedy() {
	for by, kind := range By {
		found := false
		for _, row := range r.By[kind] {
			p := r.Latest(row)
			isOwn := by == byExe && p.Own > 0.5 && p.Share-p.Margin >= loopWorthIt
			if row.None || (!isOwn && (found || p.Share-p.Margin < worthIt)) {
				continue
			}

			found = true
			m := Remedy{By: kind, Name: row.Name, Share: p.Share, Own: p.Own > 0.5}
			if row.Cut {
				m.Note = "its name is too long to be kept whole: see it in the records"
			} else {
				advise[by](&m, row.Name, p)
			}
			r.Remedies = append(r.Remedies, m)
		}
	}
}

// LockRules takes out of the remedies what cannot be loaded until the next boot.
func (r *Report) LockRules(locked bool) {
	r.RulesLocked = &locked
	if !locked {
		return
	}
	for i := range r.Remedies {
		m := &r.Remedies[i]
		if m.Load = ""; m.RulesD == "" {
			m.Hides = ""
		}
	}
}

// DropMissing takes out the rules for programs that are not there: the kernel finds a program by
// its file.
func (r *Report) DropMissing(exists func(path string) bool) {
	for i := range r.Remedies {
		m := &r.Remedies[i]
		if m.By == By[byExe] && m.RulesD != "" && !exists(m.Name) {
			m.Load, m.RulesD, m.Hides = "", "", ""
			m.Note = "not a file of this host now: it runs in a container, was removed, or is of another host; no rule would find it"
		}
	}
}

// advise says what there is against a name, by its kind.
var advise = [numBy]func(m *Remedy, name string, p Part){byKey: adviseKey, byExe: adviseExe, byUser: adviseUser, byUnit: adviseUnit, byType: adviseType}

// plain are the names that auditctl, a file of rules and a shell take as they are. auditctl cuts
// lines of a file at blanks and fields at operators, and has no quotes.
var plain = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]+$`) })

const oddName = "auditctl and its files have no quotes for the bytes in this name: no rule"

// rule sets a rule that never records, in one of the kernel's lists. For exit it has to be the first.
func (m *Remedy) rule(list, fields string) {
	if list == "exit" {
		fields = "-S all " + fields
	}
	m.RulesD = "-a never," + list + " " + fields
	m.Load = "auditctl -A never," + list + " " + fields
}

// unless sets a filter that leaves out what has that text, where the text can be written in one.
func (m *Remedy) unless(field, text string) {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return
		}
	}
	m.Filter = field + " != " + strconv.Quote(text)
}

// adviseKey: a key is a label and no condition, so only the rules that have it can be taken out.
func adviseKey(m *Remedy, name string, _ Part) {
	m.unless("key", name)
	if !plain().MatchString(name) || name[0] == '-' {
		m.Note = oddName
		return
	}
	m.Load = "auditctl -D -k " + name
	m.Hides = "all that the rules with this key watch, until they are loaded again"
	m.Note = "for good, take these rules out of /etc/audit/rules.d; better, see which program makes most of it and leave that out"
}

// interpreters run what others have written, so a rule for one hides too much. Their files mostly
// have a version at the end of the name: python3.11, php8.2.
var interpreters = []string{
	"bash", "dash", "sh", "zsh", "ksh", "mksh", "fish", "busybox", "awk", "gawk", "mawk", "perl", "python", "ruby", "node", "lua", "tclsh", "guile", "java", "php",
	"env", "sudo", "su", "doas", "runuser",
}

func adviseExe(m *Remedy, name string, p Part) {
	m.unless("exe", name)
	switch base := strings.TrimRight(path.Base(name), "0123456789.-"); {
	case !plain().MatchString(name):
		m.Note = oddName
		return
	case name[0] != '/' || name[len(name)-1] == '/':
		m.Note = "not an absolute path: no rule"
		return
	case slices.Contains(interpreters, base):
		m.Hides = "all that anyone runs with it, "
	}

	if p.Messages > 0.5 {
		m.rule("user", "-F exe="+name)
		m.Hides += "all records that it sends itself, of logins for example; not its system calls"
		return
	}
	m.rule("exit", "-F exe="+name)
	m.Hides += "all its system calls, whoever runs it, also those that other keys are for; not a program of this path in a container, nor what it sends itself"
	if m.Own {
		m.Note = "a feedback loop: what the relay does for a record makes the next one"
	}
}

func adviseUser(m *Remedy, name string, p Part) {
	who, isLogin := strings.CutPrefix(name, auidPrefix)
	fields, hidden := "-F auid="+who, "of login "+who+", also as root after su and sudo"
	m.Filter = "auid != " + who
	if uid, ok := strings.CutPrefix(who, "unset uid="); ok {
		if uid == "0" {
			m.Filter = ""
			m.Note = "services that run as root: a rule would hide nearly all of the system; leave out a program"
			return
		}
		fields, hidden = "-F auid=unset -F uid="+uid, "of services that run as uid "+uid
		m.Filter = fmt.Sprintf("not (auid == unset and uid == %s)", uid)
	}
	if !isLogin {
		return
	}

	if p.Messages > 0.5 {
		m.rule("user", fields)
		m.Hides = "all records of programs " + hidden + ", logins among them; not system calls"
		return
	}
	m.rule("exit", fields)
	m.Hides = "all system calls " + hidden
}

// domain is SELinux's context: the third part is what rules can ask for.
var domain = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_]+:[a-z0-9_]+:([A-Za-z0-9_]+)(:|$)`) })

func adviseUnit(m *Remedy, name string, p Part) {
	if unit, ok := strings.CutPrefix(name, unitPrefix); ok {
		m.unless("unit", unit)
		m.Note = "records of systemd, in which the kernel cannot tell units apart: see why the unit starts so often"
		return
	}

	subj := strings.TrimPrefix(name, subjPrefix)
	m.unless("subj", subj)
	match := domain().FindStringSubmatch(subj)
	if match == nil {
		m.Note = "rules can ask only for SELinux's domains: leave out a program"
		return
	}
	list := "exit"
	m.Hides = "all system calls of the domain " + match[1]
	if p.Messages > 0.5 {
		list = "user"
		m.Hides = "all records that programs of the domain " + match[1] + " send; not their system calls"
	}
	m.rule(list, "-F subj_type="+match[1])
}

func adviseType(m *Remedy, name string, p Part) {
	switch {
	case name == "PROCTITLE":
		m.Hides = "command lines, but for those of EXECVE records"
	case name == "CWD":
		m.Hides = "the directory that relative names in PATH records count from"
	case name == "NETFILTER_CFG" || name == "BPF":
		m.Hides = "all records of this type"
	case !record.HasTypeName(record.TypeNumber([]byte(name))):
		m.Note = "auditctl may not know this type: no rule"
		return
	case p.Messages > 0.5:
		m.Hides = "all records of this type, whatever program sends them"
		m.unless("main_type", name)
	case strings.HasSuffix(name, "AVC"):
		m.Note = "denials by the security module: correct its policy, or add dontaudit rules there"
		return
	default:
		m.Note = "a part of what is recorded of a system call: leave out a key, a program or a user"
		return
	}

	m.rule("exclude", "-F msgtype="+name)
}
