package sigma

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// modifiers of a field, sorted out.
type modifiers struct {
	where                        string   // contains, startswith, endswith; "" for the whole value
	compare                      string   // <, <=, >, >=
	encode                       []string // what is done to the value before, in order
	flags                        string   // of a regular expression
	all, cased, re, cidr, exists bool
}

// comparisons are the operators that modifiers mean.
var comparisons = map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

func readModifiers(at *yaml.Node, words []string) (m modifiers, err error) {
	kinds := make(map[string]bool) // of comparison: they exclude each other
	for _, word := range words {
		switch word {
		case "contains", "startswith", "endswith":
			m.where = word
			kinds[word] = true
		case "all":
			m.all = true
		case "cased":
			m.cased = true
		case "re":
			m.re, kinds[word] = true, true
		case "i", "m", "s", "ignorecase", "multiline", "dotall":
			m.flags += map[string]string{"ignorecase": "i", "multiline": "m", "dotall": "s"}[word]
			if len(word) == 1 {
				m.flags += word
			}
		case "cidr":
			m.cidr, kinds[word] = true, true
		case "exists":
			m.exists, kinds[word] = true, true
		case "lt", "lte", "gt", "gte":
			m.compare = comparisons[word]
			kinds[word] = true
		case "windash", "base64", "base64offset", "wide", "utf16le", "utf16be", "utf16":
			if m.where != "" && word != "windash" { // it would change the wildcards, too
				return m, fail(at, "modifier %s has to stand before %s", word, m.where)
			}
			if slices.Contains(m.encode, word) { // each makes more of it
				return m, fail(at, "modifier %s stands there twice", word)
			}
			m.encode = append(m.encode, word)
		default:
			return m, fail(at, "modifier %s is not known here", quoteBrief(word))
		}
	}

	ofText := m.cased || len(m.encode) > 0
	if len(kinds) > 1 || (ofText && len(kinds) == 1 && m.where == "") || (m.flags != "" && !m.re) || (m.exists && m.all) {
		return m, fail(at, "modifiers %s do not go together", strings.Join(words, ", "))
	}
	return m, nil
}

// perRecord are the fields of which an event may have several values, in records of their own: none of them is another thing than one that is not.
var perRecord = []string{"full_path", "path", "created", "nametype", "text", "ouid", "ogid", "inode"}

// match returns the condition that a field has one of the values, or with "all" each of them, or with "neq" none.
func (c *converter) match(at *yaml.Node, t target, words []string, values []*yaml.Node) (*expr, error) {
	others := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "neq" })
	switch n := len(words) - len(others); {
	case n == 0:
		return c.compare(at, t, words, values)
	case n > 1:
		return nil, fail(at, "modifier neq stands there twice")
	case t.kind == asType || slices.Contains(perRecord, t.text):
		return nil, fail(at, "modifier neq for a field of which an event may have several values")
	}
	e, err := c.compare(at, t, others, values)
	if err != nil {
		return nil, err
	}
	return not(e), nil
}

// compare is match without "neq".
func (c *converter) compare(at *yaml.Node, t target, words []string, values []*yaml.Node) (*expr, error) {
	m, err := readModifiers(at, words)
	if err != nil {
		return nil, err
	}
	if m.exists {
		return matchExists(at, t, values)
	}
	plain := len(words) == 0 || (len(words) == 1 && m.all)
	switch {
	case t.kind <= asID, t.kind == asHex && !plain: // text and numbers
	case m.all && len(values) > 1:
		return nil, fail(at, "modifier all for a field that has one value")
	case !plain && t.kind != asCall:
		return nil, fail(at, "modifier %s for a field that takes none", strings.Join(words, ", "))
	}
	switch t.kind {
	case asTrue:
		return c.matchTruth(at, values)
	case asNumber, asCount, asID:
		return matchNumbers(at, t, m, values)
	case asType:
		return c.matchTypes(at, values)
	case asOutcome:
		return matchOutcome(at, values)
	case asCall:
		if plain && !slices.ContainsFunc(values, isNoName) {
			return matchCalls(t, values), nil
		}
		if slices.ContainsFunc(values, isDigits) {
			return nil, fail(at, "has the number of a system call with a modifier, or beside a wildcard")
		}
	case asHex:
		if plain {
			return matchHex(at, t, values)
		}
		t.text = "field(" + strconv.Quote(t.text) + ")"
	}

	switch {
	case m.compare != "":
		return nil, fail(at, "modifier of a comparison for a field that is text")
	case (m.re || m.cidr) && slices.ContainsFunc(values, isNull):
		return nil, fail(at, "null takes no modifier")
	case m.re:
		return matchPatterns(t, m, values)
	case m.cidr:
		return matchNetworks(at, t, m, values)
	}
	return c.matchTexts(at, t, m, values)
}

// isNoName reports whether a value of a system call is other than a name or a number: null, or with wildcards.
func isNoName(n *yaml.Node) bool { return isNull(n) || !isWord(n.Value) }

func isDigits(n *yaml.Node) bool { return n.Value != "" && strings.Trim(n.Value, "0123456789") == "" }

// matchExists asks whether there is a value.
func matchExists(at *yaml.Node, t target, values []*yaml.Node) (*expr, error) {
	if t.kind != asText || len(values) != 1 {
		return nil, fail(at, "modifier exists takes true or false, for a field that is text")
	}
	switch strings.ToLower(values[0].Value) {
	case "true", "yes":
		return present(t), nil
	case "false", "no":
		return absent(t), nil
	}
	return nil, fail(at, "modifier exists takes true or false")
}

// matchTruth: the field is true of all events, or all elements of a list, that the rule is about.
func (c *converter) matchTruth(at *yaml.Node, values []*yaml.Node) (*expr, error) {
	e := never()
	for _, v := range values {
		switch strings.ToLower(v.Value) {
		case "true", "create": // Initiated, nametype
			if !c.look.oldFiles {
				e = leaf("")
			}
		case "false":
		default:
			return nil, fail(at, "value %s is neither true nor false", quoteBrief(v.Value))
		}
	}
	return e, nil
}

func matchOutcome(at *yaml.Node, values []*yaml.Node) (*expr, error) {
	var any []*expr
	for _, v := range values {
		switch strings.ToLower(v.Value) {
		case "yes", "1", "true":
			any = append(any, leaf("success"))
		case "no", "0", "false":
			any = append(any, leaf("failed"))
		default:
			return nil, fail(at, "value %s is neither yes nor no", quoteBrief(v.Value))
		}
	}
	return or(any...), nil
}

// matchTypes asks for the types of records. Their names are in capitals.
func (c *converter) matchTypes(at *yaml.Node, values []*yaml.Node) (*expr, error) {
	var names []string
	for _, v := range values {
		if isNull(v) || !isWord(v.Value) {
			return nil, fail(at, "%s is no type of records", quoteBrief(v.Value))
		}
		names = append(names, strings.ToUpper(v.Value))
	}
	if c.look.list != "" {
		return leaf(""), nil // of these records alone
	}
	return oneOf("type", quoteAll(names)), nil
}

// matchCalls asks for system calls.
func matchCalls(t target, values []*yaml.Node) *expr {
	var names, numbers []string
	for _, v := range values {
		if _, err := strconv.ParseUint(v.Value, 10, 16); err == nil {
			numbers = append(numbers, v.Value)
		} else {
			names = append(names, strconv.Quote(strings.ToLower(v.Value)))
		}
	}
	var any []*expr
	if len(names) > 0 {
		any = append(any, oneOf(t.text, names))
	}
	if len(numbers) > 0 {
		any = append(any, oneOf("syscall_number", numbers))
	}
	return or(any...)
}

// matchHex asks for an argument of a system call, which rules write as records do: in hexadecimal digits. A record has the whole register; of
// an argument that is an int to the kernel the upper half counts for nothing, and whoever makes the call chooses it: so the lower half alone may be
// what the rule asks for, too.
func matchHex(at *yaml.Node, t target, values []*yaml.Node) (*expr, error) {
	var numbers, digits, halves []string
	large := false
	for _, v := range values {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(v.Value), "0x"), 16, 64)
		if err != nil {
			return nil, fail(at, "%s is no argument of a system call, in hexadecimal digits", quoteBrief(v.Value))
		}
		text := strconv.FormatUint(n, 16) // as the record has it, whatever zeros the rule has
		numbers, digits = append(numbers, "0x"+text), append(digits, text)
		large = large || n >= 1<<31 // it does not fit what an expression may hold on a machine of 32 bits, or would be negative
		if n < 1<<32 {
			halves = append(halves, fmt.Sprintf("%08x", n))
		}
	}

	field := "field(" + strconv.Quote(t.text) + ")"
	is := oneOf(t.text, numbers)
	if large {
		is = oneOf(field, quoteAll(digits))
	}
	if len(halves) == 0 {
		return is, nil
	}
	return or(is, leaf("iends("+field+", "+strings.Join(quoteAll(slices.Compact(halves)), ", ")+")")), nil
}

// matchNumbers compares with numbers.
func matchNumbers(at *yaml.Node, t target, m modifiers, values []*yaml.Node) (*expr, error) {
	if m.where != "" || m.re || m.cidr || len(m.encode) > 0 || (m.all && len(values) > 1) {
		return nil, fail(at, "%s is a number, which takes no such modifier", t.text)
	}
	var numbers []string
	empty, withEmpty := int64(0), false // what the field is for a filter where it is not there, and whether that is meant, too
	if t.kind == asID {
		empty = unset
	}
	for _, v := range values {
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != v.Value { // 010 is 8 to some readers of YAML
			return nil, fail(at, "%s is a number, and %s is none", t.text, quoteBrief(v.Value))
		}
		if t.kind == asID && n == -1 && m.compare == "" {
			n = unset
		}
		withEmpty = withEmpty || compares(empty, m.compare, n)
		numbers = append(numbers, strconv.FormatInt(n, 10))
		if n == unset {
			numbers[len(numbers)-1] = "unset"
		}
	}

	e := oneOf(t.text, numbers)
	if m.compare != "" {
		var any []*expr
		for _, n := range numbers {
			any = append(any, leaf(t.text+" "+m.compare+" "+n))
		}
		e = or(any...)
	}
	if withEmpty && t.kind != asNumber { // what is not there is not meant
		e = and(e, leaf("field("+strconv.Quote(t.text)+`) != ""`))
	}
	return e, nil
}

// unset is an id that is not set.
const unset = 1<<32 - 1

// compares reports whether a compares with b as an operator says, "" for ==.
func compares(a int64, operator string, b int64) bool {
	switch operator {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return a == b
}

// matchNetworks asks whether an address lies in a network.
func matchNetworks(at *yaml.Node, t target, m modifiers, values []*yaml.Node) (*expr, error) {
	if m.all && len(values) > 1 {
		return nil, fail(at, "modifier all for a field that has one value")
	}
	var nets []string
	for _, v := range values {
		p, err := netip.ParsePrefix(v.Value)
		if err != nil {
			return nil, fail(at, "%s is no network", quoteBrief(v.Value))
		}
		nets = append(nets, p.Masked().String())
	}
	return leaf("in_net(" + t.text + ", " + strings.Join(quoteAll(nets), ", ") + ")"), nil
}

// matchPatterns compares with regular expressions. Whether they are such says the check of the whole.
func matchPatterns(t target, m modifiers, values []*yaml.Node) (*expr, error) {
	var kids []*expr
	for _, v := range values {
		pattern := v.Value
		if m.flags != "" {
			pattern = "(?" + m.flags + ")" + pattern
		}
		kids = append(kids, leaf(t.text+" matches "+strconv.Quote(pattern)))
	}
	if m.all {
		return and(kids...), nil
	}
	return or(kids...), nil
}

// oneOf asks whether a field is one of some literals.
func oneOf(field string, literals []string) *expr {
	literals = slices.Compact(literals)
	if len(literals) == 1 {
		return leaf(field + " == " + literals[0])
	}
	return leaf(field + " in [" + strings.Join(literals, ", ") + "]")
}

func quoteAll(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strconv.Quote(w)
	}
	return out
}
