package filter

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// checker goes over what the parser made of an expression, says what is wrong with it,
// and returns it in the terms that are evaluated:
//
//	key == "x"             "x" in keys*
//	key in ["x", "y"]      any(keys*, # in ["x", "y"])
//	has_key("x")           "x" in keys
//	msg.acct, args[1]      fields of these names
//	field("x")             a field of its own
//	in_net(addr, "...")    a function that has the networks
//	path_under("/etc")     a field of its own
//	at("2026-11-22")       a number
//	unset                  a number
//
// It leaves the parser's nodes as they are: Explain shows those.
type checker struct {
	src      string
	slots    []*field
	slotOf   map[string]int
	nets     []netset // of in_net#0, in_net#1...
	patterns map[string]*regexp.Regexp
	vars     map[string]kind // of let
	warnings []*Error
	element  kind   // of # in a predicate, none outside
	list     *field // that # is an element of, when it is a field
}

// fail ends the check: compile recovers the error.
func (c *checker) fail(n ast.Node, message, hint string) {
	panic(newError(c.src, n.Location().From, message, hint))
}

// warn notes what is most likely wrong.
func (c *checker) warn(n ast.Node, message, hint string) {
	e := newError(c.src, n.Location().From, message, hint)
	for _, w := range c.warnings {
		if *w == *e {
			return
		}
	}
	c.warnings = append(c.warnings, e)
}

// at gives a new node the place of an old one.
func at[N ast.Node](old ast.Node, n N) N {
	n.SetLocation(old.Location())
	return n
}

// use notes that the expression mentions a field and returns the node for it.
func (c *checker) use(n ast.Node, f *field) ast.Node {
	if _, ok := c.slotOf[f.name]; !ok {
		c.slotOf[f.name] = len(c.slots)
		c.slots = append(c.slots, f)
	}
	return at(n, &ast.IdentifierNode{Value: f.name})
}

// flag checks a part that has to be true or false.
func (c *checker) flag(n ast.Node) ast.Node {
	out, k := c.node(n)
	if k != flag {
		c.fail(n, show(n)+" is "+k.String()+", not true or false", compareHint(n, k))
	}
	return out
}

func compareHint(n ast.Node, k kind) string {
	switch k {
	case number, float:
		return "compare it, as in " + show(n) + " == 0"
	case text:
		return "compare it, as in " + show(n) + ` == ""`
	case texts:
		return `ask what is in it, as in "x" in ` + show(n)
	}
	return ""
}

// show returns a part as it may stand in a message.
func show(n ast.Node) string { return brief(n.String(), 60) }

// node checks a part and returns what is evaluated for it.
func (c *checker) node(n ast.Node) (ast.Node, kind) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.IntegerNode:
		return at(n, &ast.IntegerNode{Value: n.Value}), number
	case *ast.FloatNode:
		return at(n, &ast.FloatNode{Value: n.Value}), float
	case *ast.StringNode:
		return at(n, &ast.StringNode{Value: n.Value}), text
	case *ast.BoolNode:
		return at(n, &ast.BoolNode{Value: n.Value}), flag
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.PointerNode:
		if c.element == none || n.Name != "" {
			c.fail(n, "# stands for an element within any(LIST, ...)", "")
		}
		return at(n, &ast.PointerNode{}), c.element
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.NilNode:
		c.fail(n, "no field is nil", `what is absent is "", 0 or unset`)
	case *ast.ChainNode:
		c.fail(n, "?. is of no use here", `what is absent is "", 0 or unset`)
	}
	c.fail(n, show(n)+" has no place in a filter", "")
	return nil, none
}

func (c *checker) identifier(n *ast.IdentifierNode) (ast.Node, kind) {
	if k, ok := c.vars[n.Value]; ok {
		return at(n, &ast.IdentifierNode{Value: n.Value}), k
	}
	if n.Value == "unset" {
		return at(n, &ast.IntegerNode{Value: unset}), number
	}
	f, ok := fields[n.Value]
	if !ok {
		c.unknown(n, n.Value)
	}
	return c.use(n, f), f.kind
}

func (c *checker) unknown(n ast.Node, name string) {
	if _, ok := helpers[name]; ok {
		c.fail(n, name+" is a helper", "write "+helpers[name])
	}
	if name == "msg" {
		c.fail(n, "msg is not a field itself", "write msg.acct and the like")
	}
	hint := didYouMean(name, append(fieldNames, "unset"))
	if hint == "" {
		hint = "for a field that has no name here write field(" + strconv.Quote(name) + ")"
	}
	c.fail(n, "unknown field "+brief(name, 60), hint)
}

func (c *checker) unary(n *ast.UnaryNode) (ast.Node, kind) {
	if n.Operator == "not" || n.Operator == "!" {
		return at(n, &ast.UnaryNode{Operator: "not", Node: c.flag(n.Node)}), flag
	}
	out, k := c.node(n.Node)
	if !k.isNumber() {
		c.fail(n, n.Operator+" stands before a number, and "+show(n.Node)+" is "+k.String(), "")
	}
	if i, ok := out.(*ast.IntegerNode); ok {
		if n.Operator == "-" {
			i.Value = -i.Value
		}
		return at(n, i), k
	}
	return at(n, &ast.UnaryNode{Operator: n.Operator, Node: out}), k
}

// member checks msg.acct and args[0].
func (c *checker) member(n *ast.MemberNode) (ast.Node, kind) {
	if of, ok := n.Node.(*ast.IdentifierNode); ok && !n.Optional {
		if key, ok := n.Property.(*ast.StringNode); ok && of.Value == "msg" {
			f, ok := fields["msg."+strings.ReplaceAll(key.Value, "-", "_")]
			if !ok {
				c.unknown(key, "msg."+key.Value)
			}
			return c.use(n, f), f.kind
		}
		if f, ok := fields[of.Value]; ok && f.kind == texts {
			if i, ok := constant(n.Property); ok {
				return c.use(n, elementOf(f, i)), text
			}
			c.fail(n.Property, "the place in a list is written out, as in "+of.Value+"[0]", "")
		}
		if _, ok := fields[of.Value]; ok {
			c.fail(n, of.Value+" has no parts", "")
		}
		if _, ok := c.vars[of.Value]; !ok {
			c.unknown(of, of.Value)
		}
	}
	c.fail(n, show(n)+" has no place in a filter", "")
	return nil, none
}

// constant returns the number that a node is.
func constant(n ast.Node) (int, bool) {
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
	name := list.name + "[" + strconv.Itoa(i) + "]"
	return &field{name: name, kind: text, cost: list.cost, known: list.known, names: list.names, present: list.present, load: func(m *Matcher, v *value) {
		v.s = ""
		list.load(m, v)
		k := i
		if i < 0 {
			k += len(v.texts)
		}
		if k >= 0 && k < len(v.texts) {
			v.s = v.texts[k]
		}
	}}
}

func (c *checker) conditional(n *ast.ConditionalNode) (ast.Node, kind) {
	cond := c.flag(n.Cond)
	a, ka := c.node(n.Exp1)
	b, kb := c.node(n.Exp2)
	if ka != kb {
		c.fail(n.Exp2, "one way it is "+ka.String()+", the other "+kb.String(), "")
	}
	return at(n, &ast.ConditionalNode{Ternary: true, Cond: cond, Exp1: a, Exp2: b}), ka
}

func (c *checker) array(n *ast.ArrayNode) (ast.Node, kind) {
	if len(n.Nodes) == 0 {
		c.fail(n, "nothing is in an empty list", "")
	}
	out := make([]ast.Node, len(n.Nodes))
	var all kind
	for i, e := range n.Nodes {
		var k kind
		out[i], k = c.node(e)
		if k != text && k != number {
			c.fail(e, "a list holds numbers or texts, and "+show(e)+" is "+k.String(), "")
		}
		if i > 0 && k != all {
			c.fail(e, show(e)+" is "+k.String()+" in a list that began with "+all.String(), "")
		}
		all = k
	}
	list := texts
	if all == number {
		list = numbers
	}
	return at(n, &ast.ArrayNode{Nodes: out}), list
}

func (c *checker) let(n *ast.VariableDeclaratorNode) (ast.Node, kind) {
	_, isField := fields[n.Name]
	_, isHelper := helpers[n.Name]
	if _, isVar := c.vars[n.Name]; isField || isHelper || isVar || n.Name == "unset" || n.Name == "msg" {
		c.fail(n, "there is a "+n.Name+" already", "take another name")
	}
	if c.element != none {
		c.fail(n, "let stands outside of any(LIST, ...)", "")
	}
	value, k := c.node(n.Value)
	c.vars[n.Name] = k
	body, kind := c.node(n.Expr)
	delete(c.vars, n.Name)
	return at(n, &ast.VariableDeclaratorNode{Name: n.Name, Value: value, Expr: body}), kind
}
