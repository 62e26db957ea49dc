package process

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"audisp-relay/audit/record"
	"audisp-relay/patternsize"
)

// Bounds of Labels. The time that one path takes is bounded by the product of the last two and matchedText.
const (
	MaxLabels       = 64 // a bit each in a Process
	maxExpressions  = 256
	maxExpression   = 1024 // bytes
	maxInstructions = 1000 // of one expression, as estimated
)

// matchedText is how long a path is that expressions are tried on, bytes: any process chooses how long its own is. A longer
// one gets no label, and loses all that some expression takes away. So does <too_long>, which the kernel writes where a path
// does not fit into its own buffer (kernel/audit.c, audit_log_d_path).
const matchedText = 512

// Subject is what of a process an expression is tried on.
type Subject uint8

const (
	OfExe     Subject = iota // the path of the program
	OfCmdline                // its arguments with blanks between them, up to maxArgs bytes
	OfScript                 // the path of the script that the program interprets
	subjects
)

// AllLabels is what PassOn takes for all of them.
const AllLabels = "*"

// Labels say which processes get which labels. They are filled first and do not change once a table has them: then any
// goroutine may use them. A nil pointer has none.
type Labels struct {
	names  []string // bit n of a set is names[n]
	keys   map[string]uint64
	tried  [subjects][]expression
	passed uint64 // those that children inherit
	// said is what they were made of, in that order.
	said []string
	size int // number of expressions
}

// expression gives a label to what it matches, or takes it away.
type expression struct {
	re    *regexp.Regexp
	has   string // in all that it matches; to look for that takes a hundredth of the time
	label uint64
	takes bool
}

// matches reports whether it matches some part of a text.
func (e *expression) matches(text string) bool {
	return strings.Contains(text, e.has) && e.re.MatchString(text)
}

// AddKey labels processes whose exec has an audit key (auditctl -k) with that key.
func (l *Labels) AddKey(key string) error {
	label, err := l.bit(key)
	if err != nil {
		return err
	}
	if l.keys == nil {
		l.keys = make(map[string]uint64)
	}
	l.keys[key] |= label
	l.said = append(l.said, "key", key)
	return nil
}

// Add labels processes for which a regular expression (regexp/syntax) matches some part of the subject.
func (l *Labels) Add(s Subject, expr, label string) error { return l.try(s, expr, label, false) }

// Take takes a label away from processes for which a regular expression matches, whatever gave it to them. Something
// must give the label.
func (l *Labels) Take(s Subject, expr, label string) error { return l.try(s, expr, label, true) }

func (l *Labels) try(s Subject, expr, label string, takes bool) error {
	if l.size == maxExpressions {
		return fmt.Errorf("there are more than %d expressions: put some together with |", maxExpressions)
	}
	re, has, err := compile(expr)
	if err != nil {
		return err
	}
	find := l.bit
	if takes {
		find = l.given
	}
	bit, err := find(label)
	if err != nil {
		return err
	}
	l.tried[s] = append(l.tried[s], expression{re, has, bit, takes})
	l.said = append(l.said, fmt.Sprint(s, takes), expr, label)
	l.size++
	return nil
}

// PassOn has children inherit a label that something gives, or AllLabels.
func (l *Labels) PassOn(label string) error {
	if label == AllLabels {
		l.passed = 1<<len(l.names) - 1
	} else {
		bit, err := l.given(label)
		if err != nil {
			return err
		}
		l.passed |= bit
	}
	l.said = append(l.said, "pass", label)
	return nil
}

// compile compiles an expression of bounded size, and finds out what is in all that it matches.
func compile(expr string) (re *regexp.Regexp, has string, err error) {
	if len(expr) > maxExpression {
		return nil, "", fmt.Errorf("is longer than %d bytes", maxExpression)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, "", fmt.Errorf("no regular expression: %w", err)
	}
	if patternsize.Of(parsed, maxInstructions) > maxInstructions {
		return nil, "", errors.New("the regular expression is too large: its repetitions multiply")
	}
	re, err = regexp.Compile(expr)
	return re, literal(parsed), err
}

// literal returns the longest text that it can find in everything that an expression matches.
func literal(re *syntax.Regexp) (longest string) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError) { // which matches any byte that is no UTF-8
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literal(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literal(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if text := literal(sub); len(text) > len(longest) {
				longest = text
			}
		}
	}
	return longest
}

// bit returns the set of one label, a new one if need be.
func (l *Labels) bit(label string) (uint64, error) {
	if bit, err := l.given(label); err == nil {
		return bit, nil
	}
	if label == "" || label == AllLabels {
		return 0, fmt.Errorf("%q is no name for a label", label)
	}
	if len(l.names) == MaxLabels {
		return 0, fmt.Errorf("there are more than %d labels", MaxLabels)
	}
	l.names = append(l.names, label)
	return 1 << (len(l.names) - 1), nil
}

// given returns the set of a label that there is.
func (l *Labels) given(label string) (uint64, error) {
	if at := slices.Index(l.names, label); at >= 0 {
		return 1 << at, nil
	}
	return 0, fmt.Errorf("there is no label %q: it has %q", label, l.names)
}

// Names returns the labels that there are, in the order in which they were added.
func (l *Labels) Names() []string {
	if l == nil {
		return nil
	}
	return slices.Clone(l.names)
}

// Equal reports whether two say the same. Either may be nil.
func (l *Labels) Equal(o *Labels) bool {
	if l == nil || o == nil {
		return l == o
	}
	return slices.Equal(l.said, o.said)
}

// translate returns the set that a set of other labels is here: those of the same names.
func (l *Labels) translate(from *Labels, set uint64) (out uint64) {
	if l == nil || from == nil || set == 0 {
		return 0
	}
	for at, name := range from.names {
		if bit, err := l.given(name); err == nil && set&(1<<at) != 0 {
			out |= bit
		}
	}
	return out
}

// change is what a text does to a set of labels.
type change struct{ add, take uint64 }

func (c change) apply(set uint64) uint64 { return (set | c.add) &^ c.take }

// of returns what a text does to a process's labels.
func (l *Labels) of(s Subject, text string) (c change) {
	for i := range l.tried[s] {
		switch e := &l.tried[s][i]; {
		case !e.matches(text):
		case e.takes:
			c.take |= e.label
		default:
			c.add |= e.label
		}
	}
	return c
}

// ofPath returns what a path does to a process's labels; an empty path does nothing.
func (l *Labels) ofPath(s Subject, path string) change {
	switch {
	case path == "":
		return change{}
	case len(path) > matchedText || path[0] == '<':
		return change{take: l.taken(s)}
	}
	return l.of(s, path)
}

// ofArgs returns what the arguments of p, of which some are known, do to its labels. Those that are not there could be any, so
// whatever some of them take away is. It may use scratch.
func (l *Labels) ofArgs(p *Process, scratch []byte) (c change, text []byte) {
	text = p.AppendArgs(scratch[:0])
	if p.cut {
		text = append(text, ' ') // as in front of any other
	}
	c = l.of(OfCmdline, record.Alias(text))
	if p.cut {
		c.take |= l.taken(OfCmdline)
	}
	return c, text
}

// taken returns the labels that some text takes away.
func (l *Labels) taken(s Subject) (set uint64) {
	for i := range l.tried[s] {
		if e := &l.tried[s][i]; e.takes {
			set |= e.label
		}
	}
	return set
}

// ofKeys returns the labels that the key= of a record gives; rest is what follows its exe=. Several keys have
// record.KeySeparator between them, and then are in hex.
func (l *Labels) ofKeys(rest []byte) (set uint64) {
	value := keyOf(rest)
	if len(value) == 0 || len(l.keys) == 0 || string(value) == "(null)" {
		return 0
	}
	text, _ := record.Unquote(nil, value)
	for key := range bytes.SplitSeq(text, []byte{record.KeySeparator}) {
		set |= l.keys[string(key)]
	}
	return set
}
