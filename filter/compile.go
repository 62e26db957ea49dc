package filter

import (
	"fmt"
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// Limits of an expression.
const (
	maxSource   = 1 << 20 // bytes
	maxNodes    = 100_000
	maxDepth    = 100      // brackets within brackets
	maxSigns    = 5000     // operators whose operands the parser, which is recursive, goes down into
	maxTaken    = 16 << 20 // bytes that + and lists may take for one event
	maxWarnings = 20
)

const tooLong = "the expression is too long"

// Compile checks and compiles an expression, which cannot ask for rules. Its error is an *Error.
func Compile(src string) (*Filter, error) { return CompileWith(src, nil) }

// CompileWith is Compile for an expression that can ask which of some rules hold for the event. rules may
// be nil.
func CompileWith(src string, rules *RuleSet) (*Filter, error) {
	c := newChecker()
	c.rules = rules
	root, err := c.compile(src)
	if err != nil {
		return nil, err
	}
	f := c.filter(src)
	f.root = root
	return f, nil
}

// compile compiles an expression into what the checker has already.
func (c *checker) compile(src string) (root *part, err error) {
	steps, files := c.steps, maps.Clone(c.files)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			root, err = nil, r
		default: // a fault in the parser must not end the relay
			root, err = nil, newError(src, 0, oneLine(fmt.Sprint("this cannot be compiled: ", r)), "")
		}
		if err != nil { // it takes nothing from what may have the same limits
			c.steps, c.files = steps, files
		}
	}()

	checkBounds(src)
	tree, err := parser.ParseWithConfig(src, &conf.Config{MaxNodes: maxNodes})
	if err != nil {
		return nil, fromExpr(src, err)
	}
	checkShape(src, tree.Node)

	c.src, c.warnings, c.labels = src, nil, nil
	c.element, c.list, c.negative = none, nil, false // an expression before may have ended with an error
	clear(c.vars)
	return c.checkPart(tree.Node), nil
}

// filter returns a Filter of all that was compiled, without a root.
func (c *checker) filter(src string) *Filter {
	f := &Filter{src: src, slots: c.slots, scans: c.scans, warnings: c.warnings, labels: c.labels}
	for _, s := range f.scans {
		s.build()
	}
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		f.files = append(f.files, c.files[path])
	}
	if c.asksRules {
		f.rules = c.rules
	}
	return f
}

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
			p.operand = join(p.op, operandsOf(p.kids)...)
			return p
		}
	}

	p.operand = c.makePlain(c.checkFlag(n))
	return p
}

// operandsOf returns what evaluates each of some parts.
func operandsOf(parts []*part) []operand {
	operands := make([]operand, len(parts))
	for i, p := range parts {
		operands[i] = p.operand
	}
	return operands
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
