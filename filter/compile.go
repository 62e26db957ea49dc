package filter

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	exprcheck "github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
)

// Limits of an expression.
const (
	maxSource = 64 << 10 // bytes
	maxNodes  = 10000
	maxDepth  = 100 // brackets within brackets
	maxSigns  = 5000
	// memoryBudget is how many elements the virtual machine may make for one event.
	memoryBudget = 100000
)

const tooLong = "the expression is too long"

// compilation is what the stages of a compilation share.
type compilation struct {
	checker
	source file.Source
	config *conf.Config
	whole  ast.Node // as checker has made it

	negative bool // what is compiled stands under an odd number of not
}

// compile compiles an expression; the compilation is for tests.
func compile(src string) (f *Filter, c *compilation, err error) {
	c = &compilation{checker: checker{src: src, slotOf: make(map[string]int), patterns: make(map[string]*regexp.Regexp), vars: make(map[string]kind)}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			f, err = nil, r
		default: // a fault in the parser must not end the relay
			f, err = nil, newError(src, 0, oneLine(fmt.Sprint("this cannot be compiled: ", r)), "")
		}
	}()
	if e := bounded(src); e != nil {
		return nil, nil, e
	}
	c.config = conf.CreateNew()
	c.config.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(src, c.config)
	if err != nil {
		return nil, nil, fromExpr(src, err)
	}
	c.source = tree.Source
	c.whole = c.flag(tree.Node)
	if err := c.typecheck(); err != nil {
		return nil, nil, fromExpr(src, err)
	}
	f = &Filter{src: src, root: c.part(tree.Node, c.whole), slots: c.slots, warnings: c.warnings}
	return f, c, nil
}

// bounded refuses what would make the parser, which is recursive, take a stack that is
// larger than reason: it counts nodes only when they are complete.
func bounded(src string) *Error {
	if len(src) > maxSource {
		return newError(src, 0, tooLong, fmt.Sprintf("at most %d bytes", maxSource))
	}
	if strings.TrimSpace(src) == "" {
		return newError(src, 0, "the expression is empty", "")
	}
	depth, signs, quote := 0, 0, rune(0)
	escaped := false
	n := 0
	for _, r := range src {
		switch {
		case quote != 0:
			if r == quote && !escaped {
				quote = 0
			}
			escaped = r == '\\' && !escaped && quote != '`'
		case r == '"' || r == '\'' || r == '`':
			quote, escaped = r, false
		case r == '(' || r == '[' || r == '{':
			depth++
			signs++
		case r == ')' || r == ']' || r == '}':
			depth--
		case strings.ContainsRune("!+-*^?:;=", r):
			signs++
		}
		if depth > maxDepth {
			return newError(src, n, "there are too many brackets within each other", fmt.Sprintf("at most %d", maxDepth))
		}
		if signs > maxSigns {
			return newError(src, n, tooLong, fmt.Sprintf("it has more than %d operators", maxSigns))
		}
		n++
	}
	for _, word := range []string{"not", "let", "if"} {
		if strings.Count(src, word) > maxSigns {
			return newError(src, 0, tooLong, fmt.Sprintf("it has more than %d operators", maxSigns))
		}
	}
	return nil
}

// typecheck has expr find the types of all nodes, which its compiler needs.
func (c *compilation) typecheck() error {
	env := make(types.Map, len(c.slots))
	for _, f := range c.slots {
		env[f.name] = map[kind]types.Type{
			number: types.Int, text: types.String, flag: types.Bool, texts: types.TypeOf([]string(nil)), numbers: types.TypeOf([]int(nil)),
		}[f.kind]
	}
	c.config.WithEnv(env)
	c.addNetFunctions()
	_, err := exprcheck.Check(&parser.Tree{Node: c.whole, Source: c.source}, c.config)
	return err
}

// part is a node of the expression as Explain shows it: what and, or and not join.
type part struct {
	op    string // and, or, not; empty: a leaf
	kids  []*part
	node  ast.Node // as the parser made it
	test  test
	cost  int
	slots []int // of a leaf: what it mentions
}

// part builds the part for node, of which checked is the checked form: the two have
// the same shape as far as and, or and not go.
func (c *compilation) part(node, checked ast.Node) *part {
	p := &part{node: node}
	switch n := node.(type) {
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			p.op = "not"
			c.negative = !c.negative
			kid := c.part(n.Node, checked.(*ast.UnaryNode).Node)
			c.negative = !c.negative
			p.kids = []*part{kid}
			p.cost, p.test = kid.cost, invert(kid.test)
			return p
		}
	case *ast.BinaryNode:
		if op := joins(n.Operator); op != "" {
			p.op = op
			c.operands(p, n, checked.(*ast.BinaryNode))
			p.test, p.cost = join(op, p.kids)
			return p
		}
	}
	p.test, p.cost = c.cond(checked)
	seen := make(map[int]bool)
	ast.Walk(&checked, visit(func(n ast.Node) {
		if id, ok := n.(*ast.IdentifierNode); ok {
			if slot, ok := c.slotOf[id.Value]; ok && !seen[slot] {
				seen[slot] = true
				p.slots = append(p.slots, slot)
			}
		}
	}))
	return p
}

// operands gathers a and b and c as three parts.
func (c *compilation) operands(p *part, n, checked *ast.BinaryNode) {
	if left, ok := n.Left.(*ast.BinaryNode); ok && joins(left.Operator) == p.op {
		c.operands(p, left, checked.Left.(*ast.BinaryNode))
	} else {
		p.kids = append(p.kids, c.part(n.Left, checked.Left))
	}
	p.kids = append(p.kids, c.part(n.Right, checked.Right))
}

// joins returns and or or for an operator that is one, in whichever spelling.
func joins(operator string) string {
	switch operator {
	case "and", "&&":
		return "and"
	case "or", "||":
		return "or"
	}
	return ""
}

// visit is an ast.Visitor that only looks.
type visit func(ast.Node)

func (v visit) Visit(n *ast.Node) { v(*n) }
