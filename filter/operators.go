package filter

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

func (c *checker) checkBinary(n *ast.BinaryNode) operand {
	if op := joinOperator(n.Operator); op != "" {
		return join(op, c.checkJoined(op, n)...)
	}

	switch n.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		return c.checkComparison(n)
	case "in":
		return c.checkIn(n)
	case "contains", "startsWith", "endsWith", "matches":
		return c.checkSearch(n)
	case "+", "-", "*", "/", "%", "**", "^":
		return c.checkArithmetic(n)
	case "..":
		c.fail(n, "a range is only allowed after in, between two numbers", "as in uid in 1000..1999")
	}
	c.fail(n, "the operator "+n.Operator+" has no place in a filter", "")
	return operand{}
}

// checkJoined gathers a and b and c as three operands: to join them one by one takes the square of their number.
func (c *checker) checkJoined(op string, n *ast.BinaryNode) (operands []operand) {
	if left, ok := n.Left.(*ast.BinaryNode); ok && joinOperator(left.Operator) == op {
		operands = c.checkJoined(op, left)
	} else {
		operands = []operand{c.checkFlag(n.Left)}
	}
	return append(operands, c.checkFlag(n.Right))
}

func (c *checker) checkArithmetic(n *ast.BinaryNode) operand {
	l, r := c.check(n.Left), c.check(n.Right)
	switch {
	case n.Operator == "+" && l.kind == text && r.kind == text:
		return concatenate(l, r)
	case !l.kind.isNumber() || !r.kind.isNumber():
		c.fail(n, n.Operator+" takes two numbers, not "+l.kind.String()+" and "+r.kind.String(), "")
	case n.Operator != "%":
		return calculate(n.Operator, l, r)
	case l.kind != number || r.kind != number:
		c.fail(n, "% takes whole numbers", "")
	case r.literal && r.n == 0:
		c.fail(n.Right, "division by zero", "")
	}
	return c.remainder(n, l, r)
}

// calculate compiles what cannot fail: whole numbers overflow, and a division is one of
// floats.
func calculate(op string, l, r operand) operand {
	if l.kind == number && r.kind == number && strings.Contains("+-*", op) {
		out := derive(number, l, r)
		out.number = arithmetic(op, l.number, r.number)
		return out
	}

	out := derive(float, l, r)
	a, b := l.asFloat(), r.asFloat()
	switch op {
	case "/":
		out.float = func(m *Matcher) float64 { return a(m) / b(m) }
	case "**", "^":
		out.float = func(m *Matcher) float64 { return math.Pow(a(m), b(m)) }
	default:
		out.float = arithmetic(op, a, b)
	}
	return out
}

func arithmetic[V int64 | float64](op string, a, b func(*Matcher) V) func(*Matcher) V {
	switch op {
	case "+":
		return func(m *Matcher) V { return a(m) + b(m) }
	case "-":
		return func(m *Matcher) V { return a(m) - b(m) }
	}
	return func(m *Matcher) V { return a(m) * b(m) }
}

func (c *checker) remainder(n ast.Node, l, r operand) operand {
	out := derive(number, l, r)
	failed := c.evalError(n, "runtime error: integer divide by zero")
	out.number = func(m *Matcher) int64 {
		a, b := l.number(m), r.number(m)
		if b == 0 {
			m.noteError(failed)
			return 0
		}
		return a % b
	}
	return out
}

// concatenate joins texts, at once where they are known: the pattern of matches has to be.
func concatenate(l, r operand) operand {
	if l.literal && r.literal {
		return literalText(l.s + r.s)
	}

	out := derive(text, l, r)
	out.text = func(m *Matcher) string {
		a, b := l.text(m), r.text(m)
		if !m.takeMemory(len(a) + len(b)) { // a let of a let of a let would double without end
			return ""
		}
		return a + b
	}
	return out
}

// evalError is the error of an event for which a part cannot be evaluated.
type evalError struct {
	src     string
	from    int // the character of src where the part begins
	message string
}

// evalError returns such an error. Its place is looked for when it is shown: that goes over the expression.
func (c *checker) evalError(n ast.Node, message string) error {
	return &evalError{src: c.src, from: n.Location().From, message: message}
}

func (e *evalError) Error() string {
	at := newError(e.src, e.from, "", "")
	return fmt.Sprintf("filter: %d:%d: %s", at.Line, at.Column, e.message)
}

func (c *checker) checkComparison(n *ast.BinaryNode) operand {
	l, r := c.check(n.Left), c.check(n.Right)
	switch {
	case l.kind.isNumber() && r.kind.isNumber(), l.kind == text && r.kind == text:
	case l.kind == flag && r.kind == flag && (n.Operator == "==" || n.Operator == "!="):
	default:
		c.failMismatch(n, l.kind, r.kind)
	}
	l, r = c.checkNames(r.field, n.Left, l), c.checkNames(l.field, n.Right, r)

	list, other := l.each(), r
	if list == nil {
		list, other = r.each(), l
	}
	switch {
	case list == nil, list.kind == texts && strings.ContainsAny(n.Operator, "<>"): // in the order of texts the first one counts
		out := compare(n.Operator, l, r)
		switch {
		case n.Operator == "==" && l.literal:
			out = c.needEqual(out, r, l)
		case n.Operator == "==":
			out = c.needEqual(out, l, r)
		}
		return out
	case n.Operator == "==":
		all := c.useField(list)
		return c.needEqual(contains(other, all), all, other)
	case n.Operator == "!=":
		return negate(contains(other, c.useField(list)))
	case l.each() != nil:
		return c.overEach(n, l, func(o operand) operand { return compare(n.Operator, o, r) })
	}
	return c.overEach(n, r, func(o operand) operand { return compare(n.Operator, l, o) })
}

// each returns the list that comparisons of a field run over, nil when it is none of these
// fields.
func (o operand) each() *field {
	if o.field == nil || !o.inSlot {
		return nil
	}
	return fields[o.field.each]
}

// overEach returns a test of o, or whether it holds for any of the values that o is the first of.
func (c *checker) overEach(n ast.Node, o operand, test func(operand) operand) operand {
	list := o.each()
	if list == nil {
		return test(o)
	}
	if c.element != none {
		c.fail(n, "in any(LIST, ...) this would be a list within a list", "compare with == or move it outside")
	}
	return quantify("any", c.useField(list), test(elementOperand(list.kind.elem(), nil)))
}

// failMismatch says that two parts cannot be compared, and what could be.
func (c *checker) failMismatch(n *ast.BinaryNode, kl, kr kind) {
	a, b, ka, kb := n.Left, n.Right, kl, kr
	if isLiteral(a) && !isLiteral(b) {
		a, b, ka, kb = b, a, kb, ka
	}
	hint := ""

	switch s, isString := b.(*ast.StringNode); {
	case ka.isNumber() && isString && (s.Value == "unset" || s.Value == "-1"):
		hint = "compare it with unset, without quotes"
	case ka.isNumber() && isString:
		if _, err := strconv.Atoi(s.Value); err == nil {
			hint = "compare it with " + s.Value + ", not " + strconv.Quote(brief(s.Value, 40))
			break
		}
		if id, ok := a.(*ast.IdentifierNode); ok && idNames[id.Value] != "" {
			hint = "for the name write " + idNames[id.Value] + " " + n.Operator + " " + strconv.Quote(brief(s.Value, 40))
		}
	case ka == text && kb == number:
		if i, ok := literalInt(b); ok {
			hint = "compare it with " + strconv.Quote(strconv.Itoa(i))
		}
		if id, ok := a.(*ast.IdentifierNode); ok && id.Value == "syscall" {
			hint = "write syscall_number " + n.Operator + " " + showNode(b)
		}
	case ka == flag:
		hint = "write " + showNode(a) + " or not " + showNode(a)
	case ka.elem() != none:
		hint = "write " + showNode(b) + " in " + showNode(a)
	}

	c.fail(b, showNode(a)+" is "+ka.String()+", "+showNode(b)+" is "+kb.String(), hint)
}

func isLiteral(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ArrayNode:
		return true
	case *ast.UnaryNode:
		return isLiteral(n.Node)
	}
	return false
}

// checkNames checks a text, or the texts in a list, that is compared with a field of names, nil
// if it is with none. It returns the operand with present names, and with addresses in their usual form.
func (c *checker) checkNames(f *field, n ast.Node, o operand) operand {
	if f == nil || (f.known == nil && f.present == nil && !f.isLabel) {
		return o
	}

	if list, ok := n.(*ast.ArrayNode); ok {
		for i, element := range o.elements {
			o.elements[i] = c.checkNames(f, list.Nodes[i], element)
		}
	}
	if o.kind != text || !o.literal {
		return o
	}
	if f.isLabel {
		c.noteLabel(o.s)
		return o
	}
	if f.known != nil && !c.isKnown(f, o.s) {
		message := "there is no " + cmp.Or(nouns[f.name], "record type") + " " + strconv.Quote(brief(o.s, 60))
		if hint := didYouMean(o.s, f.names()); f.grows {
			c.warn(n, message+" in the tables", hint)
		} else {
			c.fail(n, message, hint)
		}
	}
	if f.present != nil {
		return literalText(f.present(o.s))
	}
	return o
}

// maxNewNames is how many names that the tables lack are compared with all that they have, for one that is misspelt. It takes
// a third of a millisecond each, and an expression may have tens of thousands.
const maxNewNames = 500

// isKnown reports whether a field may have a text.
func (c *checker) isKnown(f *field, name string) bool {
	if f.grows && len(c.warnings) >= maxWarnings {
		return true
	}
	if f.newer != nil && f.newer(name) {
		if c.newNames++; c.newNames > maxNewNames {
			return true
		}
	}
	return f.known(name)
}

// nouns say what the texts of a field with known names are, where they are no record types.
var nouns = map[string]string{"rules": "rule", "syscall": "system call", "errno": "error name", "arch": "arch", "family": "address family"}

func (c *checker) checkIn(n *ast.BinaryNode) operand {
	l := c.check(n.Left)
	if ends, ok := n.Right.(*ast.BinaryNode); ok && ends.Operator == ".." {
		return c.checkInRange(n, l, ends)
	}

	if call, ok := n.Right.(*ast.CallNode); ok && isCall(call, "file") {
		return c.checkInFile(n, l, call)
	}

	r := c.check(n.Right)
	switch elem := r.kind.elem(); {
	case elem == none:
		hint := ""
		if r.kind == text {
			hint = "write " + showNode(n.Right) + " contains " + showNode(n.Left) + ", or == for all of it"
		}
		c.fail(n.Right, "in takes a list, and "+showNode(n.Right)+" is "+r.kind.String(), hint)
	case l.kind.elem() != none:
		c.fail(n.Left, showNode(n.Left)+" is a list itself", "write any("+showNode(n.Left)+", # in "+showNode(n.Right)+")")
	case elem != l.kind:
		hint := map[kind]string{number: "write the numbers without quotes", text: "write the texts in quotes"}[l.kind]
		c.fail(n.Right, showNode(n.Left)+" is "+l.kind.String()+", and the list holds "+elem.String(), hint)
	}

	l, r = c.checkNames(r.field, n.Left, l), c.checkNames(l.field, n.Right, r)
	out := c.overEach(n, l, func(o operand) operand { return contains(o, r) })
	if r.elements != nil {
		return c.needEqual(out, l, r.elements...)
	}
	return c.needEqual(out, r, l)
}

// checkInRange makes two comparisons of x in from..to: a list of all numbers between could
// have any length.
func (c *checker) checkInRange(n *ast.BinaryNode, l operand, ends *ast.BinaryNode) operand {
	lo, lok := literalInt(ends.Left)
	hi, hok := literalInt(ends.Right)
	switch {
	case !lok || !hok:
		c.fail(ends, "the ends of a range are numbers that are written out", "as in uid in 1000..1999")
	case lo > hi:
		c.fail(ends, "nothing is in a range that ends before it begins", "")
	case l.kind != number:
		c.fail(n.Left, showNode(n.Left)+" is "+l.kind.String()+", and a range holds numbers", "")
	}

	return c.overEach(n, l, func(o operand) operand {
		return join("and", compare(">=", o, literalNumber(int64(lo))), compare("<=", o, literalNumber(int64(hi))))
	})
}

// checkSearch checks contains, startsWith, endsWith and matches.
func (c *checker) checkSearch(n *ast.BinaryNode) operand {
	l, r := c.check(n.Left), c.check(n.Right)
	if l.kind.elem() != none {
		c.fail(n.Left, showNode(n.Left)+" is a list", "write any("+showNode(n.Left)+", # "+n.Operator+" "+showNode(n.Right)+")")
	}
	for i, side := range []ast.Node{n.Left, n.Right} {
		if k := []kind{l.kind, r.kind}[i]; k != text {
			c.fail(side, n.Operator+" takes texts, and "+showNode(side)+" is "+k.String(), "")
		}
	}

	if n.Operator == "matches" {
		return c.checkMatches(n, l, r)
	}
	if mode, ok := searchModes[n.Operator]; ok && c.together && r.literal {
		return c.searchWords(n, l, search{mode: mode, exact: true, words: []string{r.s}})
	}
	return c.overEach(n, l, func(o operand) operand { return searchText(n.Operator, o, r) })
}

// checkMatches checks TEXT matches "PATTERN".
func (c *checker) checkMatches(n *ast.BinaryNode, l, pattern operand) operand {
	if !pattern.literal {
		c.fail(n.Right, "the pattern of matches is written out in quotes", "")
	}
	re, message := compilePattern(pattern.s)
	if message == "" {
		if c.steps += re.steps; c.steps > maxSteps {
			message = "the regular expressions are too large together"
		}
	}
	if message != "" {
		c.fail(n.Right, message, "")
	}

	out := c.overEach(n, l, func(o operand) operand {
		out, get := combine(flag, o), o.text
		out.cost += regexCost
		out.test = func(m *Matcher) bool { return re.matches(get(m)) }
		return out
	})
	if !c.together || len(re.words) == 0 {
		return out
	}

	// A regular expression takes microseconds, and nearly all texts lack a word that it needs.
	s := search{mode: within, words: re.words}
	if has, needs := c.scanFor(l, s); has != nil {
		matches := out.test
		out.needs = needs
		out.test = func(m *Matcher) bool { return has(m) && matches(m) }
		return out
	}
	out.needs = c.needOfElement(l, s)
	return out
}
