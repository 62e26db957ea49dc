package filter

import (
	"strconv"

	"github.com/expr-lang/expr/ast"
)

func (c *checker) binary(n *ast.BinaryNode) (ast.Node, kind) {
	switch n.Operator {
	case "and", "&&":
		return at(n, &ast.BinaryNode{Operator: "and", Left: c.flag(n.Left), Right: c.flag(n.Right)}), flag
	case "or", "||":
		return at(n, &ast.BinaryNode{Operator: "or", Left: c.flag(n.Left), Right: c.flag(n.Right)}), flag
	case "==", "!=", "<", "<=", ">", ">=":
		return c.comparison(n), flag
	case "in":
		return c.in(n), flag
	case "contains", "startsWith", "endsWith", "matches":
		return c.search(n), flag
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arithmetic(n)
	case "..":
		c.fail(n, "a range stands behind in, between two numbers", "as in uid in 1000..1999")
	}
	c.fail(n, "the operator "+n.Operator+" has no place in a filter", "")
	return nil, none
}

// arithmetic checks + and the like. Texts are joined at once: a pattern has to be known
// when it is checked.
func (c *checker) arithmetic(n *ast.BinaryNode) (ast.Node, kind) {
	l, kl := c.node(n.Left)
	r, kr := c.node(n.Right)
	if n.Operator == "+" && kl == text && kr == text {
		a, aok := l.(*ast.StringNode)
		b, bok := r.(*ast.StringNode)
		if aok && bok {
			return at(n, &ast.StringNode{Value: a.Value + b.Value}), text
		}
		return at(n, &ast.BinaryNode{Operator: "+", Left: l, Right: r}), text
	}
	if !kl.isNumber() || !kr.isNumber() {
		c.fail(n, n.Operator+" takes two numbers, not "+kl.String()+" and "+kr.String(), "")
	}
	k := number
	switch {
	case n.Operator == "%":
		if kl != number || kr != number {
			c.fail(n, "% takes whole numbers", "")
		}
		if d, ok := r.(*ast.IntegerNode); ok && d.Value == 0 {
			c.fail(n.Right, "division by zero", "")
		}
	case n.Operator == "/" || n.Operator == "**" || n.Operator == "^" || kl == float || kr == float:
		k = float
	}
	return at(n, &ast.BinaryNode{Operator: n.Operator, Left: l, Right: r}), k
}

func (c *checker) comparison(n *ast.BinaryNode) ast.Node {
	l, kl := c.node(n.Left)
	r, kr := c.node(n.Right)
	switch {
	case kl.isNumber() && kr.isNumber(), kl == text && kr == text:
	case kl == flag && kr == flag && (n.Operator == "==" || n.Operator == "!="):
	default:
		c.mismatch(n, kl, kr)
	}
	c.known(l, n.Right, r)
	c.known(r, n.Left, l)
	list, other, left := c.eachOf(n.Left), r, true
	if list == nil {
		list, other, left = c.eachOf(n.Right), l, false
	}
	if list == nil {
		return at(n, &ast.BinaryNode{Operator: n.Operator, Left: l, Right: r})
	}
	switch {
	case n.Operator == "==" || n.Operator == "!=":
		in := at(n, &ast.BinaryNode{Operator: "in", Left: other, Right: c.use(n, list)})
		if n.Operator == "!=" {
			return at(n, &ast.UnaryNode{Operator: "not", Node: in})
		}
		return in
	case list.kind == texts: // in the order of texts the first one counts
		return at(n, &ast.BinaryNode{Operator: n.Operator, Left: l, Right: r})
	case left:
		return c.any(n, list, func(e ast.Node) ast.Node { return &ast.BinaryNode{Operator: n.Operator, Left: e, Right: other} })
	}
	return c.any(n, list, func(e ast.Node) ast.Node { return &ast.BinaryNode{Operator: n.Operator, Left: other, Right: e} })
}

// eachOf returns the list that comparisons of a field run over, nil when it is none
// of these fields.
func (c *checker) eachOf(n ast.Node) *field {
	if id, ok := n.(*ast.IdentifierNode); ok {
		if f := fields[id.Value]; f != nil && f.each != "" {
			return fields[f.each]
		}
	}
	return nil
}

// any returns any(list, test).
func (c *checker) any(n ast.Node, list *field, test func(element ast.Node) ast.Node) ast.Node {
	if c.element != none {
		c.fail(n, "in any(LIST, ...) this would be a list within a list", "compare with == or move it outside")
	}
	body := at(n, test(at(n, &ast.PointerNode{})))
	return at(n, &ast.BuiltinNode{Name: "any", Arguments: []ast.Node{c.use(n, list), at(n, &ast.PredicateNode{Node: body})}})
}

// mismatch says that two parts cannot be compared, and what could be.
func (c *checker) mismatch(n *ast.BinaryNode, kl, kr kind) {
	a, b, ka, kb := n.Left, n.Right, kl, kr
	if literal(a) && !literal(b) {
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
		if i, ok := constant(b); ok {
			hint = "compare it with " + strconv.Quote(strconv.Itoa(i))
		}
		if id, ok := a.(*ast.IdentifierNode); ok && id.Value == "syscall" {
			hint = "write syscall_number " + n.Operator + " " + show(b)
		}
	case ka == flag:
		hint = "write " + show(a) + " or not " + show(a)
	case ka.elem() != none:
		hint = "write " + show(b) + " in " + show(a)
	}
	c.fail(b, show(a)+" is "+ka.String()+", "+show(b)+" is "+kb.String(), hint)
}

// idNames are the fields with the names of ids.
var idNames = map[string]string{
	"auid": "auser", "uid": "user", "euid": "euser", "suid": "suser", "fsuid": "fsuser",
	"gid": "group", "egid": "egroup", "sgid": "sgroup", "fsgid": "fsgroup", "oauid": "oauser", "sauid": "sauser", "old_auid": "old_auser",
}

func literal(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ArrayNode:
		return true
	case *ast.UnaryNode:
		return literal(n.Node)
	}
	return false
}

// known checks the texts that a field of names is compared with: of has to be the field,
// value what it is compared with; orig is where that stands.
func (c *checker) known(of, orig, value ast.Node) {
	f := c.fieldOf(of)
	if f == nil || f.known == nil {
		return
	}
	switch v := value.(type) {
	case *ast.StringNode:
		if !f.known(v.Value) {
			message := "there is no " + nouns(f) + " " + strconv.Quote(brief(v.Value, 60))
			if hint := didYouMean(v.Value, f.names()); f.grows {
				c.warn(orig, message+" in the tables", hint)
			} else {
				c.fail(orig, message, hint)
			}
		}
		if f.present != nil {
			v.Value = f.present(v.Value)
		}
	case *ast.ArrayNode:
		for i, e := range v.Nodes {
			if o, ok := orig.(*ast.ArrayNode); ok {
				c.known(of, o.Nodes[i], e)
			}
		}
	}
}

// fieldOf returns the field that a checked node is, or the list that # is of; nil for
// others.
func (c *checker) fieldOf(n ast.Node) *field {
	switch n := n.(type) {
	case *ast.PointerNode:
		return c.list
	case *ast.IdentifierNode:
		if slot, ok := c.slotOf[n.Value]; ok {
			return c.slots[slot]
		}
	}
	return nil
}

// nouns says what the texts of a field with known names are.
func nouns(f *field) string {
	switch f.name {
	case "syscall":
		return "system call"
	case "errno":
		return "error name"
	case "arch":
		return "arch"
	case "family":
		return "address family"
	}
	return "record type"
}

func (c *checker) in(n *ast.BinaryNode) ast.Node {
	l, kl := c.node(n.Left)
	if b, ok := n.Right.(*ast.BinaryNode); ok && b.Operator == ".." {
		return c.inRange(n, l, kl, b)
	}
	r, kr := c.node(n.Right)
	switch elem := kr.elem(); {
	case elem == none:
		hint := ""
		if kr == text {
			hint = "write " + show(n.Right) + " contains " + show(n.Left) + ", or == for all of it"
		}
		c.fail(n.Right, "in takes a list, and "+show(n.Right)+" is "+kr.String(), hint)
	case kl.elem() != none:
		c.fail(n.Left, show(n.Left)+" is a list itself", "write any("+show(n.Left)+", # in "+show(n.Right)+")")
	case elem != kl:
		hint := ""
		if kl == number {
			hint = "write the numbers without quotes"
		} else if kl == text {
			hint = "write the texts in quotes"
		}
		c.fail(n.Right, show(n.Left)+" is "+kl.String()+", and the list holds "+elem.String(), hint)
	}
	c.known(l, n.Right, r)
	c.known(r, n.Left, l)
	list := c.eachOf(n.Left)
	if list == nil {
		return at(n, &ast.BinaryNode{Operator: "in", Left: l, Right: r})
	}
	return c.any(n, list, func(e ast.Node) ast.Node { return &ast.BinaryNode{Operator: "in", Left: e, Right: r} })
}

// inRange makes two comparisons of x in from..to: a list of all numbers between would
// be as long as somebody likes.
func (c *checker) inRange(n *ast.BinaryNode, l ast.Node, kl kind, ends *ast.BinaryNode) ast.Node {
	lo, lok := constant(ends.Left)
	hi, hok := constant(ends.Right)
	switch {
	case !lok || !hok:
		c.fail(ends, "the ends of a range are numbers that are written out", "as in uid in 1000..1999")
	case lo > hi:
		c.fail(ends, "nothing is in a range that ends before it begins", "")
	case kl != number:
		c.fail(n.Left, show(n.Left)+" is "+kl.String()+", and a range holds numbers", "")
	}
	between := func(e ast.Node) ast.Node {
		return at(n, &ast.BinaryNode{Operator: "and",
			Left:  at(n, &ast.BinaryNode{Operator: ">=", Left: e, Right: at(ends.Left, &ast.IntegerNode{Value: lo})}),
			Right: at(n, &ast.BinaryNode{Operator: "<=", Left: e, Right: at(ends.Right, &ast.IntegerNode{Value: hi})}),
		})
	}
	if list := c.eachOf(n.Left); list != nil {
		return c.any(n, list, between)
	}
	return between(l)
}

// search checks contains, startsWith, endsWith and matches.
func (c *checker) search(n *ast.BinaryNode) ast.Node {
	l, kl := c.node(n.Left)
	r, kr := c.node(n.Right)
	if kl.elem() != none {
		c.fail(n.Left, show(n.Left)+" is a list", "write any("+show(n.Left)+", # "+n.Operator+" "+show(n.Right)+")")
	}
	for _, side := range []struct {
		n ast.Node
		k kind
	}{{n.Left, kl}, {n.Right, kr}} {
		if side.k != text {
			c.fail(side.n, n.Operator+" takes texts, and "+show(side.n)+" is "+side.k.String(), "")
		}
	}
	if n.Operator == "matches" {
		p, ok := r.(*ast.StringNode)
		if !ok {
			c.fail(n.Right, "the pattern of matches is written out in quotes", "")
		}
		re, message := compilePattern(p.Value)
		if message != "" {
			c.fail(n.Right, message, "")
		}
		c.patterns[p.Value] = re
	}
	list := c.eachOf(n.Left)
	if list == nil {
		return at(n, &ast.BinaryNode{Operator: n.Operator, Left: l, Right: r})
	}
	return c.any(n, list, func(e ast.Node) ast.Node { return &ast.BinaryNode{Operator: n.Operator, Left: e, Right: r} })
}
