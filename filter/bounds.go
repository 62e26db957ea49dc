package filter

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// maxLevels bounds how deep parts may stand within parts, where a and b and c is one part: some work goes
// over all of a part, for each part.
const maxLevels = 1000

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
	n, commentEnd := 0, 0
	for at, r := range src {
		switch {
		case at < commentEnd: // a quote in a comment begins no text
		case quote != 0:
			if r == quote && !escaped {
				quote = 0
			}
			escaped = r == '\\' && !escaped && quote != '`'
		case r == '"' || r == '\'' || r == '`':
			quote, escaped = r, false
		case r == '/':
			commentEnd = at + commentLength(src[at:])
		case r == '(' || r == '[' || r == '{':
			depth++
		case r == ')' || r == ']' || r == '}':
			depth--
		case goesDown(src, at):
			signs++
		}
		if depth > maxDepth {
			panic(newError(src, n, "there are too many brackets within each other", fmt.Sprintf("at most %d", maxDepth)))
		}
		if signs > maxSigns {
			panic(newError(src, n, tooLong, fmt.Sprintf("it has more than %d operators that are not comparisons, and, or", maxSigns)))
		}
		n++
	}
}

// commentLength returns how long the comment is that src begins with, 0 without.
func commentLength(src string) int {
	end := ""
	switch {
	case strings.HasPrefix(src, "//"):
		end = "\n"
	case strings.HasPrefix(src, "/*"):
		end = "*/"
	default:
		return 0
	}
	if n := strings.Index(src[2:], end); n >= 0 {
		return 2 + n + len(end)
	}
	return len(src)
}

// goesDown reports whether an operator begins at a place of an expression that the parser may go down at:
// ! but not !=, = but not ==, and so on.
func goesDown(src string, at int) bool {
	next := src[at+1:]
	switch c := src[at]; c {
	case '+', '-', '*', '^', '?', ':', ';':
		return true
	case '!':
		return !strings.HasPrefix(next, "=")
	case '=':
		return !strings.HasPrefix(next, "=") && (at == 0 || !strings.ContainsRune("=!<>", rune(src[at-1])))
	case 'n', 'l', 'i':
		if at > 0 && isWordByte(src[at-1]) {
			return false
		}
		for _, word := range [...]string{"not", "let", "if"} {
			if rest, ok := strings.CutPrefix(src[at:], word); ok && (rest == "" || !isWordByte(rest[0])) {
				return true
			}
		}
	}
	return false
}

func isWordByte(c byte) bool {
	return c == '_' || (c >= '0' && c <= '9') || (c|0x20 >= 'a' && c|0x20 <= 'z')
}

// checkShape refuses what is larger than the parser has counted, and what stands too deep. Of a ?: b
// the parser takes a twice, and so of ((a ?: b) ?: c) ?: d.
func checkShape(src string, root ast.Node) {
	n := 0
	var goDown func(node ast.Node, level int, op string)
	goDown = func(node ast.Node, level int, op string) {
		own := ""
		if b, ok := node.(*ast.BinaryNode); ok {
			own = joinOperator(b.Operator)
		}
		if own == "" || own != op {
			level++
		}
		if n++; n > 2*maxNodes {
			panic(newError(src, 0, tooLong, ""))
		}
		if level > maxLevels {
			panic(newError(src, node.Location().From, "there are too many parts within each other", fmt.Sprintf("at most %d", maxLevels)))
		}
		for _, kid := range kidsOf(node) {
			goDown(kid, level, own)
		}
	}
	goDown(root, 0, "")
}

// kidsOf returns the parts that a node is made of.
func kidsOf(n ast.Node) (kids []ast.Node) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		kids = []ast.Node{n.Node}
	case *ast.BinaryNode:
		kids = []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		kids = []ast.Node{n.Node}
	case *ast.MemberNode:
		kids = []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		for _, kid := range []ast.Node{n.Node, n.From, n.To} {
			if kid != nil {
				kids = append(kids, kid)
			}
		}
	case *ast.CallNode:
		kids = append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		kids = n.Arguments
	case *ast.PredicateNode:
		kids = []ast.Node{n.Node}
	case *ast.ConditionalNode:
		kids = []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		kids = []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		kids = n.Nodes
	case *ast.ArrayNode:
		kids = n.Nodes
	case *ast.MapNode:
		kids = n.Pairs
	case *ast.PairNode:
		kids = []ast.Node{n.Key, n.Value}
	}
	return kids
}

// shownNodes is of how many nodes a part is shown whole: a node writes itself by what its parts write, and that takes
// the square of their number.
const shownNodes = 200

// showPart returns a part as it may stand in a message or a report, of a long one the beginning.
func showPart(n ast.Node, most int) string {
	cut := ""
	for isLarger(n, shownNodes) {
		n, cut = kidsOf(n)[0], " ..."
	}
	return brief(n.String(), most) + cut
}

// isLarger reports whether a part has more nodes than that.
func isLarger(n ast.Node, most int) bool {
	var count func(ast.Node)
	count = func(n ast.Node) {
		for _, kid := range kidsOf(n) {
			if most--; most > 0 {
				count(kid)
			}
		}
	}
	count(n)
	return most <= 0
}
