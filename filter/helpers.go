package filter

import (
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// helpers are our own functions, and how they are called.
var helpers = map[string]string{
	"has_key":    `has_key("exec", ...)`,
	"in_net":     `in_net(addr, "10.0.0.0/8", ...)`,
	"path_under": `path_under("/etc", ...)`,
	"field":      `field("reason")`,
	"at":         `at("2026-11-22T05:00:00Z")`,
}

// builtins are the functions of expr that filters may use.
var builtins = map[string]bool{
	"any": true, "all": true, "none": true, "one": true, "count": true,
	"len": true, "lower": true, "upper": true, "trim": true, "int": true, "bitand": true,
}

func (c *checker) call(n *ast.CallNode) (ast.Node, kind) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.fail(n, show(n)+" has no place in a filter", "")
	}
	switch callee.Value {
	case "has_key":
		return c.hasKey(n), flag
	case "in_net":
		return c.inNet(n), flag
	case "path_under":
		return c.pathUnder(n), flag
	case "field":
		return c.field(n), text
	case "at":
		return c.time(n), number
	}
	if f := fields[callee.Value]; f != nil {
		c.fail(n, callee.Value+" is a field, not a function", "")
	}
	c.noFunction(n, callee.Value)
	return nil, none
}

func (c *checker) noFunction(n ast.Node, name string) {
	all := append(sortedKeys(helpers), sortedKeys(builtins)...)
	hint := didYouMean(name, all)
	if hint == "" {
		hint = "there are " + strings.Join(all, ", ")
	}
	c.fail(n, "unknown function "+brief(name, 60), hint)
}

// texts returns the arguments from number from on, which have to be written out.
func (c *checker) literals(n *ast.CallNode, from int) []string {
	name := n.Callee.(*ast.IdentifierNode).Value
	if len(n.Arguments) <= from {
		c.fail(n, name+" takes something", "write "+helpers[name])
	}
	var out []string
	for _, a := range n.Arguments[from:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			c.fail(a, show(a)+" has to be text in quotes here", "write "+helpers[name])
		}
		out = append(out, s.Value)
	}
	return out
}

// hasKey makes has_key("x", "y") of "x" in keys or "y" in keys.
func (c *checker) hasKey(n *ast.CallNode) (out ast.Node) {
	for _, key := range c.literals(n, 0) {
		one := at(n, &ast.BinaryNode{Operator: "in", Left: at(n, &ast.StringNode{Value: key}), Right: c.use(n, fields["keys"])})
		if out == nil {
			out = one
		} else {
			out = at(n, &ast.BinaryNode{Operator: "or", Left: out, Right: one})
		}
	}
	return out
}

// netset are networks.
type netset []netip.Prefix

// maxAddr is the most bytes an address with a zone has.
const maxAddr = 64

// has reports whether an address is in one of the networks. What is no address is in
// none.
func (s netset) has(addr string) bool {
	if len(addr) > maxAddr || strings.IndexByte(addr, '.') < 0 && strings.IndexByte(addr, ':') < 0 {
		return false // without the memory that an error takes
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, p := range s {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

const netFunction = "in_net#"

func (c *checker) inNet(n *ast.CallNode) ast.Node {
	nets := c.literals(n, 1)
	arg, k := c.node(n.Arguments[0])
	if k != text {
		c.fail(n.Arguments[0], "in_net takes an address, and "+show(n.Arguments[0])+" is "+k.String(), "write "+helpers["in_net"])
	}
	var set netset
	for i, s := range nets {
		p, err := netip.ParsePrefix(s)
		if ip, one := netip.ParseAddr(s); err != nil && one == nil && ip.Zone() == "" {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			c.fail(n.Arguments[i+1], strconv.Quote(brief(s, 60))+" is no network", `write it as "10.0.0.0/8" or "2001:db8::/32"`)
		}
		if p != p.Masked() {
			c.fail(n.Arguments[i+1], strconv.Quote(s)+" has bits behind its length", "did you mean "+p.Masked().String()+"?")
		}
		set = append(set, p)
	}
	c.nets = append(c.nets, set)
	name := netFunction + strconv.Itoa(len(c.nets)-1)
	return at(n, &ast.CallNode{Callee: at(n, &ast.IdentifierNode{Value: name}), Arguments: []ast.Node{arg}})
}

func (c *checker) pathUnder(n *ast.CallNode) ast.Node {
	dirs := c.literals(n, 0)
	for i, dir := range dirs {
		if !strings.HasPrefix(dir, "/") {
			c.fail(n.Arguments[i], strconv.Quote(brief(dir, 60))+" does not begin with /", "")
		}
		dirs[i] = path.Clean(dir)
	}
	name := "path_under(" + strings.Join(dirs, "\x00") + ")"
	return c.use(n, &field{name: name, kind: flag, cost: 2 * fromAny, load: func(m *Matcher, v *value) { v.n = m.under(dirs) }})
}

func (c *checker) field(n *ast.CallNode) ast.Node {
	keys := c.literals(n, 0)
	if len(keys) != 1 {
		c.fail(n, "field takes one name", "write "+helpers["field"])
	}
	key := keys[0]
	if key == "" || strings.ContainsAny(key, " =\"'") {
		c.fail(n.Arguments[0], strconv.Quote(brief(key, 60))+" cannot be the name of a field", "")
	}
	return c.use(n, &field{name: "field(" + key + ")", kind: text, cost: 3 * fromAny, load: func(m *Matcher, v *value) { v.s = m.anyField(key) }})
}

// timeLayouts are how times may be written; without a zone they are local.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

func (c *checker) time(n *ast.CallNode) ast.Node {
	args := c.literals(n, 0)
	if len(args) == 1 {
		for _, layout := range timeLayouts {
			if t, err := time.ParseInLocation(layout, args[0], time.Local); err == nil {
				return at(n, &ast.IntegerNode{Value: int(t.UnixMilli())})
			}
		}
	}
	c.fail(n.Arguments[0], strconv.Quote(brief(args[0], 60))+" is no time", `write it as "2026-11-22T05:00:00Z", or "2026-11-22 05:00:00" for local time`)
	return nil
}

// builtin checks the functions of expr.
func (c *checker) builtin(n *ast.BuiltinNode) (ast.Node, kind) {
	if !builtins[n.Name] {
		c.noFunction(n, n.Name)
	}
	out := at(n, &ast.BuiltinNode{Name: n.Name})
	switch n.Name {
	case "any", "all", "none", "one", "count":
		out.Arguments = c.overList(n)
		if n.Name == "count" {
			return out, number
		}
		return out, flag
	}
	var kinds []kind
	for _, a := range n.Arguments {
		arg, k := c.node(a)
		out.Arguments = append(out.Arguments, arg)
		kinds = append(kinds, k)
	}
	takes := map[string][]kind{"len": {text}, "lower": {text}, "upper": {text}, "trim": {text}, "int": {text}, "bitand": {number, number}}[n.Name]
	if len(kinds) != len(takes) {
		c.fail(n, n.Name+" takes "+strconv.Itoa(len(takes))+" argument"+map[bool]string{true: "s"}[len(takes) > 1], "")
	}
	for i, k := range kinds {
		if k != takes[i] && !(n.Name == "len" && k.elem() != none) {
			c.fail(n.Arguments[i], n.Name+" takes "+takes[i].String()+", and "+show(n.Arguments[i])+" is "+k.String(), "")
		}
	}
	if n.Name == "lower" || n.Name == "upper" || n.Name == "trim" {
		return out, text
	}
	return out, number
}

// overList checks any(LIST, PREDICATE) and its like.
func (c *checker) overList(n *ast.BuiltinNode) []ast.Node {
	if c.element != none {
		c.fail(n, "lists do not nest: "+n.Name+" within any(LIST, ...)", "")
	}
	list, k := c.node(n.Arguments[0])
	if k.elem() == none {
		c.fail(n.Arguments[0], n.Name+" takes a list, and "+show(n.Arguments[0])+" is "+k.String(), "")
	}
	if len(n.Arguments) == 1 {
		c.fail(n, n.Name+" takes a condition for the elements", "write "+n.Name+"("+show(n.Arguments[0])+`, # == "x")`)
	}
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		c.fail(n.Arguments[1], "here stands a condition with # in it", "")
	}
	c.element, c.list = k.elem(), c.fieldOf(list)
	body := c.flag(p.Node)
	c.element, c.list = none, nil
	return []ast.Node{list, at(p, &ast.PredicateNode{Node: body})}
}
