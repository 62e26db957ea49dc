package filter

import (
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// checker goes over what the parser made of an expression, says what is wrong with it, and
// returns for each part the operand that evaluates it. Some are evaluated as others:
//
//	key == "x"             "x" in keys*
//	key in ["x", "y"]      any(keys*, # in ["x", "y"])
//	has_key("x")           "x" in keys
//	msg.acct, args[1]      fields of these names
//	field("x")             a field of its own
//	path_under("/etc")     a field of its own
//	let n = len(args); n   a field of its own
//	at("2026-11-22")       a number
//	unset                  a number
type checker struct {
	// Of all expressions that are compiled together.
	slots    []*field
	slotOf   map[string]int
	scans    []*scan
	scanOf   map[int]*scan // by the slot
	steps    int           // of all regular expressions
	files    map[string]*List
	newNames int
	rules    *RuleSet // that an expression can ask for; nil: there are none
	// together says that many expressions are asked of each event, so that one pass over a text for all of
	// their words pays.
	together bool

	// Of the one at hand.
	src       string
	vars      map[string]int // slots of what let defines
	warnings  []*Error
	labels    []string // of processes, that it names
	element   kind     // of # in a predicate, none outside
	list      *field   // that # is an element of, when it is a field
	negative  bool     // what is checked stands under an odd number of not
	asksRules bool
}

func newChecker() *checker {
	return &checker{slotOf: make(map[string]int), scanOf: make(map[int]*scan), files: make(map[string]*List), vars: make(map[string]int)}
}

// fail ends the check: Compile recovers the error.
func (c *checker) fail(n ast.Node, message, hint string) {
	panic(newError(c.src, n.Location().From, message, hint))
}

// warn notes what is most likely wrong.
func (c *checker) warn(n ast.Node, message, hint string) {
	if len(c.warnings) >= maxWarnings { // more would only take time
		return
	}
	e := newError(c.src, n.Location().From, message, hint)
	for _, w := range c.warnings {
		if *w == *e {
			return
		}
	}
	c.warnings = append(c.warnings, e)
}

// useField notes that the expression mentions a field and returns its value.
func (c *checker) useField(f *field) operand {
	slot, ok := c.slotOf[f.name]
	if !ok {
		slot = c.addSlot(f)
		c.slotOf[f.name] = slot
	}
	o := c.readSlot(slot)
	o.field, o.slots, o.plain, o.cost = f, []int{slot}, true, f.cost
	return o
}

func (c *checker) addSlot(f *field) int {
	c.slots = append(c.slots, f)
	return len(c.slots) - 1
}

// checkFlag checks a part that has to be true or false.
func (c *checker) checkFlag(n ast.Node) operand {
	o := c.check(n)
	if o.kind != flag {
		c.fail(n, showNode(n)+" is "+o.kind.String()+", not true or false", compareHint(n, o.kind))
	}
	return o
}

func compareHint(n ast.Node, k kind) string {
	switch k {
	case number, float:
		return "compare it, as in " + showNode(n) + " == 0"
	case text:
		return "compare it, as in " + showNode(n) + ` == ""`
	case texts:
		return `ask what is in it, as in "x" in ` + showNode(n)
	}
	return ""
}

// showNode returns a part as it may stand in a message.
func showNode(n ast.Node) string { return showPart(n, 60) }

// check checks a part and returns what evaluates it.
func (c *checker) check(n ast.Node) operand {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return c.checkIdentifier(n)
	case *ast.IntegerNode:
		return literalNumber(int64(n.Value))
	case *ast.FloatNode:
		return operand{kind: float, float: func(*Matcher) float64 { return n.Value }}
	case *ast.StringNode:
		return literalText(n.Value)
	case *ast.BoolNode:
		return operand{kind: flag, plain: true, test: func(*Matcher) bool { return n.Value }}
	case *ast.UnaryNode:
		return c.checkUnary(n)
	case *ast.BinaryNode:
		return c.checkBinary(n)
	case *ast.MemberNode:
		return c.checkMember(n)
	case *ast.CallNode:
		return c.checkCall(n)
	case *ast.BuiltinNode:
		return c.checkBuiltin(n)
	case *ast.PointerNode:
		if c.element == none || n.Name != "" {
			c.fail(n, "# stands for an element within any(LIST, ...)", "")
		}
		return elementOperand(c.element, c.list)
	case *ast.ConditionalNode:
		return c.checkConditional(n)
	case *ast.ArrayNode:
		return c.checkArray(n)
	case *ast.VariableDeclaratorNode:
		return c.checkLet(n)
	case *ast.NilNode:
		c.fail(n, "no field is nil", `what is absent is "", 0 or unset`)
	case *ast.ChainNode:
		c.fail(n, "?. is of no use here", `what is absent is "", 0 or unset`)
	}
	c.fail(n, showNode(n)+" has no place in a filter", "")
	return operand{}
}

func (c *checker) checkIdentifier(n *ast.IdentifierNode) operand {
	if slot, ok := c.vars[n.Value]; ok {
		return c.readSlot(slot)
	}
	if n.Value == "unset" {
		return literalNumber(unset)
	}

	if n.Value == "rules" {
		return c.useRules(n)
	}

	f, ok := fields[n.Value]
	if !ok {
		c.failUnknown(n, n.Value)
	}
	return c.useField(f)
}

func (c *checker) failUnknown(n ast.Node, name string) {
	if _, ok := helpers[name]; ok {
		c.fail(n, name+" is a helper", "write "+helpers[name])
	}
	if parts := dotted[name]; parts != "" {
		c.fail(n, name+" is not a field itself", "write "+parts)
	}

	hint := didYouMean(name, append(fieldNames, "unset"))
	if hint == "" {
		hint = "for a field that has no name here write field(" + strconv.Quote(name) + ")"
	}
	c.fail(n, "unknown field "+brief(name, 60), hint)
}

func (c *checker) checkUnary(n *ast.UnaryNode) operand {
	if isNegation(n) {
		return negate(c.checkNegated(n.Node))
	}

	o := c.check(n.Node)
	switch {
	case !o.kind.isNumber():
		c.fail(n, n.Operator+" stands before a number, and "+showNode(n.Node)+" is "+o.kind.String(), "")
	case o.literal && n.Operator == "-":
		return literalNumber(-o.n)
	case o.literal:
		return o
	}

	out := derive(o.kind, o)
	out.number, out.float = o.number, o.float
	if n.Operator == "-" {
		out.number = func(m *Matcher) int64 { return -o.number(m) }
		out.float = func(m *Matcher) float64 { return -o.float(m) }
	}
	return out
}

// isNegation reports whether a node is not or !.
func isNegation(n *ast.UnaryNode) bool { return n.Operator == "not" || n.Operator == "!" }

// checkNegated is checkFlag for what is true where the whole is not.
func (c *checker) checkNegated(n ast.Node) operand {
	c.negative = !c.negative
	o := c.checkFlag(n)
	c.negative = !c.negative
	return o
}

// checkMember checks msg.acct, parent.exe and args[0].
func (c *checker) checkMember(n *ast.MemberNode) operand {
	of, ok := n.Node.(*ast.IdentifierNode)
	if !ok || n.Optional {
		c.fail(n, showNode(n)+" has no place in a filter", "")
	}
	if key, ok := n.Property.(*ast.StringNode); ok && dotted[of.Value] != "" {
		f, ok := fields[of.Value+"."+strings.ReplaceAll(key.Value, "-", "_")]
		if !ok {
			c.failUnknown(key, of.Value+"."+key.Value)
		}
		return c.useField(f)
	}

	f, isField := fields[of.Value]
	if isField && f.kind == texts {
		i, ok := literalInt(n.Property)
		if !ok {
			c.fail(n.Property, "the place in a list is written out, as in "+of.Value+"[0]", "")
		}
		return c.useField(elementOf(f, i))
	}
	if isField {
		c.fail(n, of.Value+" has no parts", "")
	}
	if _, ok := c.vars[of.Value]; !ok {
		c.failUnknown(of, of.Value)
	}
	c.fail(n, showNode(n)+" has no place in a filter", "")
	return operand{}
}

// literalInt returns the number that a node is.
func literalInt(n ast.Node) (int, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		if i, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			return -i.Value, true
		}
	}
	return 0, false
}

// elementOf is the field that is element i of a list, from the end when i is negative;
// "" when the list is shorter.
func elementOf(list *field, i int) *field {
	element := *list
	element.name, element.kind = list.name+"["+strconv.Itoa(i)+"]", text
	element.load = func(m *Matcher, v *value) {
		list.load(m, v)
		at := i
		if i < 0 {
			at += len(v.texts)
		}
		if at >= 0 && at < len(v.texts) {
			v.s = v.texts[at]
		}
	}
	if list.name == "args" { // which many rules ask for one by one
		element.load = func(m *Matcher, v *value) { v.s = m.arg(i) }
	}
	return &element
}

func (c *checker) checkConditional(n *ast.ConditionalNode) operand {
	cond := c.checkFlag(n.Cond)
	a, b := c.check(n.Exp1), c.check(n.Exp2)
	if a.kind != b.kind {
		c.fail(n.Exp2, "one way it is "+a.kind.String()+", the other "+b.kind.String(), "")
	}
	return choose(cond, a, b)
}

func (c *checker) checkArray(n *ast.ArrayNode) operand {
	if len(n.Nodes) == 0 {
		c.fail(n, "nothing is in an empty list", "")
	}

	elements := make([]operand, len(n.Nodes))
	for i, node := range n.Nodes {
		o := c.check(node)
		if o.kind != text && o.kind != number {
			c.fail(node, "a list holds numbers or texts, and "+showNode(node)+" is "+o.kind.String(), "")
		}
		if i > 0 && o.kind != elements[0].kind {
			c.fail(node, showNode(node)+" is "+o.kind.String()+" in a list that began with "+elements[0].kind.String(), "")
		}
		elements[i] = o
	}
	return listOf(elements)
}

func (c *checker) checkLet(n *ast.VariableDeclaratorNode) operand {
	_, isField := fields[n.Name]
	_, isHelper := helpers[n.Name]
	_, isVar := c.vars[n.Name]
	_, isFunction := builtin.Index[n.Name]
	if isField || isHelper || isVar || isFunction || dotted[n.Name] != "" || n.Name == "unset" || n.Name == "rules" {
		c.fail(n, "there is a "+n.Name+" already", "take another name")
	}
	if c.element != none {
		c.fail(n, "let stands outside of any(LIST, ...)", "")
	}

	value := c.check(n.Value)
	slot := c.addSlot(&field{name: n.Name, kind: value.kind, load: value.load})
	c.vars[n.Name] = slot
	body := c.check(n.Expr)
	delete(c.vars, n.Name)

	// An error in the value counts even where the body does not ask for it.
	value.test = func(m *Matcher) bool { m.value(slot); return true }
	return choose(value, body, operand{kind: body.kind})
}
