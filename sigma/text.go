package sigma

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// piece is a part of a value: text, or a wildcard.
type piece struct {
	text string
	wild byte // '*' or '?'; 0 for text
}

// parseValue reads a value: * is any text, ? any character, and \ before one of these or before itself takes away its meaning.
func parseValue(s string) (pieces []piece) {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			pieces = append(pieces, piece{text: text.String()})
			text.Reset()
		}
	}

	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			text.WriteByte(s[i])
		case c == '*' || c == '?':
			flush()
			pieces = append(pieces, piece{wild: c})
		default:
			text.WriteByte(c)
		}
	}
	flush()
	return pieces
}

// texts gathers what a field is compared with: words by where they stand, and patterns.
type texts struct {
	c     *converter
	t     target
	cased bool
	kids  []*expr
	words map[string][]string // by the helper of filter
	order []string
}

// matchTexts compares with texts, for which upper and lower case are the same unless the modifier "cased" says otherwise.
func (c *converter) matchTexts(at *yaml.Node, t target, m modifiers, values []*yaml.Node) (*expr, error) {
	var all []*expr
	g := c.newTexts(t, m)
	for _, v := range values {
		if err := g.addValue(at, m, v); err != nil {
			return nil, err
		}
		if m.all {
			all = append(all, g.result())
			g = c.newTexts(t, m)
		}
	}
	if m.all {
		return and(all...), nil
	}
	return g.result(), nil
}

func (c *converter) newTexts(t target, m modifiers) *texts {
	return &texts{c: c, t: t, cased: m.cased, words: make(map[string][]string)}
}

// addValue adds a value as it stands in the rule.
func (g *texts) addValue(at *yaml.Node, m modifiers, v *yaml.Node) error {
	if isNull(v) {
		if m.where != "" || m.cased || len(m.encode) > 0 {
			return fail(at, "null takes no modifier")
		}
		g.kids = append(g.kids, absent(g.t))
		return nil
	}

	forms, err := encode(at, m.encode, parseValue(v.Value))
	if err != nil {
		return err
	}

	for _, pieces := range forms {
		for _, p := range pieces {
			g.c.size += max(len(p.text), 1)
		}
		if g.c.size > maxExpr {
			return errTooLong
		}
		g.add(m.where, pieces)
	}
	return nil
}

// absent holds where a field is not there, or empty.
func absent(t target) *expr { return &expr{text: t.text + ` == ""`, asks: isAbsent} }

// present holds where a field has a value.
func present(t target) *expr { return &expr{text: t.text + ` != ""`, asks: isPresent} }

// add adds a value. A wildcard at its ends is what contains, startswith and endswith say.
func (g *texts) add(where string, pieces []piece) {
	star := piece{wild: '*'}
	if where == "contains" || where == "endswith" {
		pieces = append([]piece{star}, pieces...)
	}
	if where == "contains" || where == "startswith" {
		pieces = append(slices.Clone(pieces), star)
	}
	openStart, openEnd := false, false
	for len(pieces) > 0 && pieces[0] == star {
		openStart, pieces = true, pieces[1:]
	}
	for len(pieces) > 0 && pieces[len(pieces)-1] == star {
		openEnd, pieces = true, pieces[:len(pieces)-1]
	}

	switch {
	case len(pieces) == 0 && (openStart || openEnd): // any text, and so one that is there
		g.kids = append(g.kids, present(g.t))
	case len(pieces) == 0:
		g.kids = append(g.kids, absent(g.t))
	case len(pieces) == 1 && pieces[0].wild == 0:
		g.addWord(openStart, openEnd, pieces[0].text)
	default:
		g.kids = append(g.kids, leaf(g.t.text+" matches "+strconv.Quote(g.pattern(openStart, openEnd, pieces))))
	}
}

func (g *texts) addWord(openStart, openEnd bool, word string) {
	helper, operator := "iequals", "=="
	switch {
	case openStart && openEnd:
		helper, operator = "icontains", "contains"
	case openStart:
		helper, operator = "iends", "endsWith"
	case openEnd:
		helper, operator = "istarts", "startsWith"
	}
	if g.cased {
		g.kids = append(g.kids, leaf(g.t.text+" "+operator+" "+strconv.Quote(word)))
		return
	}
	if g.words[helper] == nil {
		g.order = append(g.order, helper)
	}
	g.words[helper] = append(g.words[helper], word)
}

// pattern returns a value with wildcards within as a regular expression.
func (g *texts) pattern(openStart, openEnd bool, pieces []piece) string {
	var out strings.Builder
	out.WriteString(map[bool]string{true: "(?s)", false: "(?is)"}[g.cased])
	if !openStart {
		out.WriteByte('^')
	}

	for _, p := range pieces {
		switch p.wild {
		case '*':
			out.WriteString(".*")
		case '?':
			out.WriteByte('.')
		default:
			out.WriteString(regexp.QuoteMeta(p.text))
		}
	}

	if !openEnd {
		out.WriteByte('$')
	}
	return out.String()
}

// result returns what holds for any of the values.
func (g *texts) result() *expr {
	var kids []*expr
	for _, helper := range g.order {
		kids = append(kids, leaf(helper+"("+g.t.text+", "+strings.Join(quoteAll(g.words[helper]), ", ")+")"))
	}
	return or(append(kids, g.kids...)...)
}

// encode applies the modifiers that change a value, and returns all forms that it may have then.
func encode(at *yaml.Node, modifiers []string, pieces []piece) (forms [][]piece, err error) {
	if len(modifiers) == 0 {
		return [][]piece{pieces}, nil
	}
	if len(pieces) != 1 || pieces[0].wild != 0 {
		return nil, fail(at, "modifier %s for a value with wildcards, or without text", modifiers[0])
	}

	texts := []string{pieces[0].text}
	for _, modifier := range modifiers {
		var next []string
		size := 0
		for _, text := range texts {
			n, err := formsOf(at, modifier, text)
			if err != nil {
				return nil, err
			}
			if size += n * len(text); size > maxExpr { // one after the other they could make gigabytes of it
				return nil, fail(at, "modifier %s makes more than %d bytes of a value", modifier, maxExpr)
			}
			next = append(next, encodings[modifier](text)...)
		}
		texts = next
	}

	if len(texts) == 0 {
		return nil, fail(at, "%s is too short for modifier base64offset", quoteBrief(pieces[0].text))
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return nil, fail(at, "%s is no text any more after the modifiers", quoteBrief(pieces[0].text))
		}
		forms = append(forms, []piece{{text: text}})
	}
	return forms, nil
}

// formsOf returns how many forms a modifier gives a text.
func formsOf(at *yaml.Node, modifier, text string) (n int, err error) {
	switch modifier {
	case "base64offset":
		return 3, nil
	case "windash":
		n = 1
		options := len(option().FindAllStringIndex(text, maxOptions+1))
		if options > maxOptions {
			return 0, fail(at, "modifier windash for a value with more than %d options", maxOptions)
		}
		for range options {
			n *= len(dashSigns)
		}
		return n, nil
	}
	return 1, nil
}

// encodings are the modifiers that change a value.
var encodings = map[string]func(string) []string{
	"windash":      dashes,
	"base64":       func(s string) []string { return []string{base64.StdEncoding.EncodeToString([]byte(s))} },
	"base64offset": base64Offsets,
	"wide":         func(s string) []string { return []string{utf16Text(s, binary.LittleEndian)} },
	"utf16le":      func(s string) []string { return []string{utf16Text(s, binary.LittleEndian)} },
	"utf16be":      func(s string) []string { return []string{utf16Text(s, binary.BigEndian)} },
	"utf16":        func(s string) []string { return []string{"\xff\xfe" + utf16Text(s, binary.LittleEndian)} },
}

func utf16Text(s string, order binary.AppendByteOrder) string {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = order.AppendUint16(out, u)
	}
	return string(out)
}

// base64Offsets returns what a text looks like in base64 whatever stands before it: the characters that it alone decides, for each of
// three places in a group of three bytes.
func base64Offsets(s string) (out []string) {
	for offset, skip := range []int{0, 2, 3} {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", offset) + s))
		end := len(text) - []int{0, 3, 2}[(len(s)+offset)%3]
		if skip < end {
			out = append(out, text[skip:end])
		}
	}
	return out
}

// option is the dash that begins an option.
var option = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:^|[^\pL\pN_])([-/])[\pL\pN_]`) })

// dashSigns are those that an option may begin with.
var dashSigns = [...]string{"-", "/", "–", "—", "―"}

// maxOptions bounds the options of a value for the modifier windash: each multiplies its forms by five.
const maxOptions = 3

// dashes returns all forms of a text with the dashes that options may begin with, each option with any of them.
func dashes(s string) []string {
	forms := []string{""}
	from := 0
	for _, at := range option().FindAllStringSubmatchIndex(s, -1) {
		var next []string
		for _, form := range forms {
			for _, dash := range dashSigns {
				next = append(next, form+s[from:at[2]]+dash)
			}
		}
		forms, from = next, at[3]
	}
	for i := range forms {
		forms[i] += s[from:]
	}
	return forms
}
