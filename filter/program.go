package filter

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// program compiles a checked part for the virtual machine of expr.
func (c *compilation) program(n ast.Node) test {
	prog, err := compiler.Compile(&parser.Tree{Node: n, Source: c.source}, c.config)
	if err != nil {
		panic(newError(c.src, n.Location().From, oneLine("this cannot be compiled: "+err.Error()), ""))
	}
	var slots []int
	ast.Walk(&n, visit(func(n ast.Node) {
		if id, ok := n.(*ast.IdentifierNode); ok {
			if slot, ok := c.slotOf[id.Value]; ok {
				slots = append(slots, slot)
			}
		}
	}))
	favour := !c.negative
	return func(m *Matcher) bool {
		for _, slot := range slots {
			f := m.f.slots[slot]
			if f.kind == flag && m.value(slot).n == notSure {
				return favour
			}
			m.env[f.name] = m.value(slot).of(f.kind)
		}
		out, err := m.machine.Run(prog, m.env)
		if err != nil {
			m.fail(evalError(err))
			return false
		}
		keep, ok := out.(bool)
		if !ok {
			m.fail(errors.New("filter: the expression came to " + fmt.Sprintf("%T", out)))
		}
		return keep
	}
}

// of returns the value as the virtual machine wants it.
func (v *value) of(k kind) any {
	switch k {
	case number:
		return v.n
	case flag:
		return v.n != 0
	case texts:
		return v.texts
	case numbers:
		return v.nums
	}
	return v.s
}

// evalError makes one line of an error of the virtual machine.
func evalError(err error) error {
	var e *file.Error
	if errors.As(err, &e) {
		return fmt.Errorf("filter: %d:%d: %s", e.Line, e.Column+1, oneLine(e.Message))
	}
	return errors.New("filter: " + oneLine(err.Error()))
}

// netset returns the networks of a call of in_net.
func (c *compilation) netset(n *ast.CallNode) (netset, bool) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil, false
	}
	i, err := strconv.Atoi(strings.TrimPrefix(id.Value, netFunction))
	if err != nil || i >= len(c.nets) {
		return nil, false
	}
	return c.nets[i], true
}

// addNetFunctions tells expr of in_net#0 and so on.
func (c *compilation) addNetFunctions() {
	for i, set := range c.nets {
		name := netFunction + strconv.Itoa(i)
		c.config.Functions[name] = &builtin.Function{
			Name:  name,
			Func:  func(args ...any) (any, error) { return set.has(args[0].(string)), nil },
			Types: []reflect.Type{reflect.TypeFor[func(string) bool]()},
		}
	}
}
