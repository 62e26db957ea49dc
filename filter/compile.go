package filter

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// Limits of an expression.
const (
	maxSource = 64 << 10 // bytes
	maxNodes  = 10000
	maxDepth  = 100 // brackets within brackets
	maxSigns  = 5000
	maxTaken  = 16 << 20 // bytes that + and lists may take for one event
)

const tooLong = "the expression is too long"

// Compile checks and compiles an expression. Its error is an *Error.
func Compile(src string) (f *Filter, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			f, err = nil, r
		default: // a fault in the parser must not end the relay
			f, err = nil, newError(src, 0, oneLine(fmt.Sprint("this cannot be compiled: ", r)), "")
		}
	}()

	checkBounds(src)
	tree, err := parser.ParseWithConfig(src, &conf.Config{MaxNodes: maxNodes})
	if err != nil {
		return nil, fromExpr(src, err)
	}
	checkSize(src, tree.Node)

	c := &checker{src: src, slotOf: make(map[string]int), vars: make(map[string]int)}
	root := c.checkPart(tree.Node)
	return &Filter{src: src, root: root, slots: c.slots, warnings: c.warnings}, nil
}

// checkBounds refuses what would make the parser, which is recursive, take an unreasonably large
// stack: it counts nodes only when they are complete.
func checkBounds(src string) {
	if len(src) > maxSource {
		panic(newError(src, 0, tooLong, fmt.Sprintf("at most %d bytes", maxSource)))
	}
	if strings.TrimSpace(src) == "" {
		panic(newError(src, 0, "the expression is empty", ""))
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
			panic(newError(src, n, "there are too many brackets within each other", fmt.Sprintf("at most %d", maxDepth)))
		}
		if signs > maxSigns {
			panic(newError(src, n, tooLong, fmt.Sprintf("it has more than %d operators", maxSigns)))
		}
		n++
	}

	for _, word := range []string{"not", "let", "if"} {
		if strings.Count(src, word) > maxSigns {
			panic(newError(src, 0, tooLong, fmt.Sprintf("it has more than %d operators", maxSigns)))
		}
	}
}

// checkSize refuses what is larger than the parser has counted: of a ?: b it takes a twice, and
// so of ((a ?: b) ?: c) ?: d.
func checkSize(src string, root ast.Node) {
	n := 0
	ast.Walk(&root, visitor(func(ast.Node) {
		if n++; n > 2*maxNodes {
			panic(newError(src, 0, tooLong, ""))
		}
	}))
}

// visitor is an ast.Visitor that only looks.
type visitor func(ast.Node)

func (v visitor) Visit(n *ast.Node) { v(*n) }

// part is a node of the expression as Explain shows it: what and, or and not join.
type part struct {
	operand
	op   string // and, or, not; empty: a leaf
	kids []*part
	node ast.Node
}

// checkPart checks a node that has to be true or false, and returns the part for it.
func (c *checker) checkPart(n ast.Node) *part {
	p := &part{node: n}
	switch n := n.(type) {
	case *ast.UnaryNode:
		if isNegation(n) {
			p.op = "not"
			c.negative = !c.negative
			p.kids = []*part{c.checkPart(n.Node)}
			c.negative = !c.negative
			p.operand = negate(p.kids[0].operand)
			return p
		}
	case *ast.BinaryNode:
		if p.op = joinOperator(n.Operator); p.op != "" {
			p.kids = c.checkKids(p.op, n)
			operands := make([]operand, len(p.kids))
			for i, kid := range p.kids {
				operands[i] = kid.operand
			}
			p.operand = join(p.op, operands...)
			return p
		}
	}

	p.operand = c.makePlain(c.checkFlag(n))
	return p
}

// checkKids gathers a and b and c as three parts.
func (c *checker) checkKids(op string, n *ast.BinaryNode) (kids []*part) {
	if left, ok := n.Left.(*ast.BinaryNode); ok && joinOperator(left.Operator) == op {
		kids = c.checkKids(op, left)
	} else {
		kids = []*part{c.checkPart(n.Left)}
	}
	return append(kids, c.checkPart(n.Right))
}

// joinOperator returns and or or for an operator that is one, in whichever spelling.
func joinOperator(operator string) string {
	switch operator {
	case "and", "&&":
		return "and"
	case "or", "||":
		return "or"
	}
	return ""
}
