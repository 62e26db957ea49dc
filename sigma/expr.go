package sigma

import (
	"errors"
	"slices"
	"strings"
)

// expr is an expression of package filter while it is made.
type expr struct {
	op   string // and, or, not; "" for a leaf
	kids []*expr
	text string // of a leaf; "" is always true
	asks byte   // of a leaf that asks whether a field is there: isAbsent or isPresent
	// each: the leaf is about the element of the outlook's list alone, so that it may ask the field which is any of them.
	each bool
}

const (
	isAbsent byte = 1 + iota
	isPresent
)

func leaf(text string) *expr { return &expr{text: text} }

// never is true of no event.
func never() *expr { return leaf("false") }

func and(kids ...*expr) *expr { return join("and", kids) }

func or(kids ...*expr) *expr { return join("or", kids) }

func join(op string, kids []*expr) *expr {
	var left []*expr
	for _, kid := range kids {
		switch isTrue := kid.op == "" && kid.text == ""; {
		case isTrue && op == "or":
			return kid
		case !isTrue:
			left = append(left, kid)
		}
	}
	switch len(left) {
	case 0:
		return leaf("")
	case 1:
		return left[0]
	}
	return &expr{op: op, kids: left}
}

func not(kid *expr) *expr {
	if kid.op == "" && kid.text == "" {
		return never()
	}
	return &expr{op: "not", kids: []*expr{kid}}
}

// leaves calls a function for each leaf.
func (e *expr) leaves(do func(*expr)) {
	if e.op == "" {
		do(e)
	}
	for _, kid := range e.kids {
		kid.leaves(do)
	}
}

// isPlain reports whether any(LIST, e) may be written without the loop: e has nothing but "or" in it, and each part is about the
// element. What asks whether a field is there is not, as a field without any value counts as an empty one.
func (e *expr) isPlain() bool {
	if e.op == "or" {
		return !slices.ContainsFunc(e.kids, func(kid *expr) bool { return !kid.isPlain() })
	}
	return e.op == "" && e.each && e.asks == 0
}

// isNever reports whether e is true of no event, as far as that can be seen.
func (e *expr) isNever() bool {
	switch e.op {
	case "and":
		return slices.ContainsFunc(e.kids, (*expr).isNever)
	case "or":
		return !slices.ContainsFunc(e.kids, func(kid *expr) bool { return !kid.isNever() })
	}
	return e.op == "" && e.text == never().text
}

// maxExpr bounds an expression: a selection stands in it as often as the condition names it.
const maxExpr = 1 << 20

var errTooLong = errors.New("the expression for it is too long: its condition names selections too often")

// render writes an expression.
func render(e *expr) (string, error) {
	if e.op == "" && e.text == "" {
		return "true", nil
	}
	var b strings.Builder
	if !e.write(&b, "") {
		return "", errTooLong
	}
	return b.String(), nil
}

// write writes e within an operator, and reports whether there is room.
func (e *expr) write(b *strings.Builder, within string) bool {
	if e.op == "" {
		b.WriteString(e.text)
		return b.Len() <= maxExpr
	}
	if e.op == "not" {
		b.WriteString("not (")
		ok := e.kids[0].write(b, "")
		b.WriteByte(')')
		return ok
	}

	brackets := within != "" && within != e.op
	if brackets {
		b.WriteByte('(')
	}
	for i, kid := range e.kids {
		if i > 0 {
			b.WriteString(" " + e.op + " ")
		}
		if !kid.write(b, e.op) {
			return false
		}
	}
	if brackets {
		b.WriteByte(')')
	}
	return true
}

// overList asks e of each element of a list, which stands in e as #.
func overList(list string, e *expr) (*expr, error) {
	text, err := render(e)
	if err != nil {
		return nil, err
	}
	return leaf("any(" + list + ", " + text + ")"), nil
}
