package filter

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// helpers are our own functions, and how they are called.
var helpers = map[string]string{
	"has_key":    `has_key("exec", ...)`,
	"in_net":     `in_net(addr, "10.0.0.0/8", ...)`,
	"path_under": `path_under("/etc", ...)`,
	"field":      `field("reason")`,
	"at":         `at("2026-11-22T05:00:00Z")`,
	"icontains":  `icontains(cmdline, "x", ...)`,
	"istarts":    `istarts(exe, "/tmp/", ...)`,
	"iends":      `iends(exe, "/nc", ...)`,
	"iequals":    `iequals(comm, "x", ...)`,
	"file":       `addr in file("/etc/audit/bad.txt")`,
}

// builtins are the functions of expr that filters may use, and what they take; nil: a list and
// a condition for its elements.
var builtins = map[string][]kind{
	"any": nil, "all": nil, "none": nil, "one": nil, "count": nil,
	"len": {text}, "lower": {text}, "upper": {text}, "trim": {text}, "int": {text}, "bitand": {number, number},
}

func (c *checker) checkCall(n *ast.CallNode) operand {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.fail(n, showNode(n)+" has no place in a filter", "")
	}

	check := map[string]func(*checker, *ast.CallNode) operand{
		"has_key": (*checker).checkHasKey, "in_net": (*checker).checkInNet, "path_under": (*checker).checkPathUnder,
		"field": (*checker).checkField, "at": (*checker).checkTime,
		"icontains": (*checker).checkFold, "istarts": (*checker).checkFold, "iends": (*checker).checkFold, "iequals": (*checker).checkFold,
	}[callee.Value]
	if check != nil {
		return check(c, n)
	}
	if f := fields[callee.Value]; f != nil {
		c.fail(n, callee.Value+" is a field, not a function", "")
	}
	if callee.Value == "file" {
		c.fail(n, "file stands after in", "write "+helpers["file"])
	}
	c.failFunction(n, callee.Value)
	return operand{}
}

func (c *checker) failFunction(n ast.Node, name string) {
	all := slices.Concat(slices.Sorted(maps.Keys(helpers)), slices.Sorted(maps.Keys(builtins)))
	hint := didYouMean(name, all)
	if hint == "" {
		hint = "there are " + strings.Join(all, ", ")
	}
	c.fail(n, "unknown function "+brief(name, 60), hint)
}

// literals returns the arguments from number from on, which have to be written out.
func (c *checker) literals(n *ast.CallNode, from int) []string {
	name := n.Callee.(*ast.IdentifierNode).Value
	if len(n.Arguments) <= from {
		c.fail(n, name+" takes something", "write "+helpers[name])
	}
	var out []string
	for _, a := range n.Arguments[from:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			c.fail(a, showNode(a)+" has to be text in quotes here", "write "+helpers[name])
		}
		out = append(out, s.Value)
	}
	return out
}

// checkHasKey makes has_key("x", "y") of "x" in keys or "y" in keys.
func (c *checker) checkHasKey(n *ast.CallNode) operand {
	keys := c.literals(n, 0)
	all := make([]operand, len(keys))
	for i, key := range keys {
		word, list := literalText(key), c.useField(fields["keys"])
		all[i] = c.needEqual(contains(word, list), list, word)
	}
	return join("or", all...)
}

// checkFold checks icontains, istarts, iends and iequals: contains, startsWith, endsWith and == of any of some words, for which
// upper and lower case are the same.
func (c *checker) checkFold(n *ast.CallNode) operand {
	name := n.Callee.(*ast.IdentifierNode).Value
	words := c.literals(n, 1)
	o := c.check(n.Arguments[0])
	if o.kind != text {
		hint := "write " + helpers[name]
		if o.kind == texts {
			hint = "write any(" + showNode(n.Arguments[0]) + ", " + name + "(#, " + strconv.Quote(brief(words[0], 40)) + "))"
		}
		c.fail(n.Arguments[0], name+" takes text, and "+showNode(n.Arguments[0])+" is "+o.kind.String(), hint)
	}
	for i, w := range words {
		words[i] = foldText(w)
	}
	return c.searchWords(n, o, search{mode: searchModes[name], words: words})
}

// netset are networks.
type netset []netip.Prefix

// maxAddr is the most bytes an address with a zone has.
const maxAddr = 64

// has reports whether an address is in one of the networks. What is no address is in
// none.
func (s netset) has(addr string) bool {
	if len(addr) > maxAddr || (strings.IndexByte(addr, '.') < 0 && strings.IndexByte(addr, ':') < 0) {
		return false // without the memory that an error takes
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(s, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func (c *checker) checkInNet(n *ast.CallNode) operand {
	nets := c.literals(n, 1)
	addr := c.check(n.Arguments[0])
	if addr.kind != text {
		c.fail(n.Arguments[0], "in_net takes an address, and "+showNode(n.Arguments[0])+" is "+addr.kind.String(), "write "+helpers["in_net"])
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
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // addresses are compared as those of IPv4, too
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p != p.Masked() {
			c.fail(n.Arguments[i+1], strconv.Quote(s)+" has bits set after its length", "did you mean "+p.Masked().String()+"?")
		}
		set = append(set, p)
	}

	out, get := combine(flag, addr), addr.text
	out.cost += fromAny
	out.test = func(m *Matcher) bool { return set.has(get(m)) }
	return out
}

func (c *checker) checkPathUnder(n *ast.CallNode) operand {
	dirs := c.literals(n, 0)
	for i, dir := range dirs {
		if !strings.HasPrefix(dir, "/") {
			c.fail(n.Arguments[i], strconv.Quote(brief(dir, 60))+" does not begin with /", "")
		}
		if strings.Contains(dir, "\x00") { // it separates them in the name below
			c.fail(n.Arguments[i], strconv.Quote(brief(dir, 60))+" has a byte 0, which no path has", "")
		}
		dirs[i] = path.Clean(dir)
	}
	name := "path_under(" + strings.Join(dirs, "\x00") + ")"
	return c.useField(&field{name: name, kind: flag, cost: 2 * fromAny, load: func(m *Matcher, v *value) { v.n = m.liesUnder(dirs) }})
}

func (c *checker) checkField(n *ast.CallNode) operand {
	keys := c.literals(n, 0)
	if len(keys) != 1 {
		c.fail(n, "field takes one name", "write "+helpers["field"])
	}
	key := keys[0]
	if key == "" || strings.ContainsAny(key, " =\"'") {
		c.fail(n.Arguments[0], strconv.Quote(brief(key, 60))+" cannot be the name of a field", "")
	}
	return c.useField(&field{name: "field(" + key + ")", kind: text, cost: 3 * fromAny, load: func(m *Matcher, v *value) { v.s = m.anyField(key) }})
}

// timeLayouts are how times may be written; without a zone they are local.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

func (c *checker) checkTime(n *ast.CallNode) operand {
	args := c.literals(n, 0)
	if len(args) == 1 {
		for _, layout := range timeLayouts {
			if t, err := time.ParseInLocation(layout, args[0], time.Local); err == nil {
				return literalNumber(t.UnixMilli())
			}
		}
	}
	c.fail(n.Arguments[0], strconv.Quote(brief(args[0], 60))+" is no time", `write it as "2026-11-22T05:00:00Z", or "2026-11-22 05:00:00" for local time`)
	return operand{}
}

// checkBuiltin checks the functions of expr.
func (c *checker) checkBuiltin(n *ast.BuiltinNode) operand {
	takes, ok := builtins[n.Name]
	if !ok {
		c.failFunction(n, n.Name)
	}
	if takes == nil {
		return c.checkQuantifier(n)
	}

	args := make([]operand, len(n.Arguments))
	for i, a := range n.Arguments {
		args[i] = c.check(a)
	}
	if len(args) != len(takes) {
		c.fail(n, n.Name+" takes "+strconv.Itoa(len(takes))+" argument"+map[bool]string{true: "s"}[len(takes) > 1], "")
	}
	for i, arg := range args {
		if arg.kind != takes[i] && (n.Name != "len" || arg.kind.elem() == none) {
			c.fail(n.Arguments[i], n.Name+" takes "+takes[i].String()+", and "+showNode(n.Arguments[i])+" is "+arg.kind.String(), "")
		}
	}
	return c.apply(n, args)
}

// apply returns a function of expr of its arguments.
func (c *checker) apply(n *ast.BuiltinNode, args []operand) operand {
	arg := args[0]
	if change := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace}[n.Name]; change != nil {
		if c.together && arg.inSlot && arg.field != nil { // a field of its own: for all rules that ask for it, and for searches
			slot := arg.slot
			return c.useField(&field{name: n.Name + "(" + arg.field.name + ")", kind: text, cost: arg.field.cost, load: func(m *Matcher, v *value) {
				v.s = change(m.value(slot).s)
			}})
		}
		out := combine(text, arg)
		out.cost++
		out.text = func(m *Matcher) string { return change(arg.text(m)) }
		return out
	}

	out := derive(number, args...)
	switch {
	case n.Name == "int":
		out.number = c.parse(n, arg)
	case n.Name == "bitand":
		out.number = func(m *Matcher) int64 { return arg.number(m) & args[1].number(m) }
	case arg.kind == texts:
		out.number = func(m *Matcher) int64 { return int64(len(arg.texts(m))) }
	case arg.kind == numbers:
		out.number = func(m *Matcher) int64 { return int64(len(arg.numbers(m))) }
	default:
		out.number = func(m *Matcher) int64 { return int64(utf8.RuneCountInString(arg.text(m))) }
	}
	return out
}

// parse returns the number that a text is.
func (c *checker) parse(n ast.Node, arg operand) func(*Matcher) int64 {
	src, from := c.src, n.Location().From // the checker may turn to another expression
	return func(m *Matcher) int64 {
		s := arg.text(m)
		if m.err != nil {
			return 0 // an error in each element of a list would take time
		}
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			m.noteError(&evalError{src, from, oneLine("invalid operation: int(" + s + ")")})
		}
		return i
	}
}

// checkQuantifier checks any(LIST, PREDICATE) and its like.
func (c *checker) checkQuantifier(n *ast.BuiltinNode) operand {
	if c.element != none {
		c.fail(n, "lists do not nest: "+n.Name+" within any(LIST, ...)", "")
	}
	list := c.check(n.Arguments[0])
	if list.kind.elem() == none {
		c.fail(n.Arguments[0], n.Name+" takes a list, and "+showNode(n.Arguments[0])+" is "+list.kind.String(), "")
	}
	if len(n.Arguments) == 1 {
		c.fail(n, n.Name+" takes a condition for the elements", "write "+n.Name+"("+showNode(n.Arguments[0])+`, # == "x")`)
	}
	p, ok := n.Arguments[1].(*ast.PredicateNode)
	if !ok {
		c.fail(n.Arguments[1], "here stands a condition with # in it", "")
	}

	check := c.checkFlag
	if n.Name == "none" {
		check = c.checkNegated
	}
	c.element, c.list = list.kind.elem(), list.field
	body := check(p.Node)
	c.element, c.list = none, nil
	return quantify(n.Name, list, body)
}
