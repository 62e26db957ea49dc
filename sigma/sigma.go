// Package sigma turns Sigma rules (https://sigmahq.io, the format's specification 2.1) into expressions of package filter.
//
// A rule speaks of the fields of a log source. Taken over are those of Linux that audit's records can answer: service auditd,
// and the categories process_creation, file_event and network_connection (fields.go). A rule that asks for anything else is refused with the reason;
// nothing of a rule is ever left out.
package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"audisp-relay/filter"
)

// Limits of a file. Rules come from others, and YAML can say much in few bytes.
const (
	MaxFile      = 1 << 20 // bytes
	maxDocuments = 1000
	maxLevels    = 20   // lists and mappings within each other
	maxNames     = 1000 // selections of a rule, and words of its condition
)

// Rule is a rule and the expression for it.
type Rule struct {
	Title string
	ID    string // "" without
	Level string // "" without
	Expr  string // "" if there is an error
	Line  int    // of the file where the rule begins
	name  string // by which correlations name it, "" without
	// Err is why there is no expression. It wraps ErrElsewhere for a rule of a log source that is not audit's.
	Err error
}

// ErrElsewhere: the rule is for a log source that audit's records are not.
var ErrElsewhere = errors.New("is for another log source")

// Convert converts the rules of a file, one a document. The error is that of a file that cannot be read as YAML, with the line; the rules
// before that place are returned.
func Convert(data []byte) (rules []Rule, err error) {
	var together Correlations
	rules, err = together.Convert("", data)
	together.Refuse("", rules)
	return rules, err
}

// Convert is the function of that name for one of several files. Rules that are only parts of correlations still have their expressions: Refuse takes
// them when all files are read. file is what messages call this one.
func (c *Correlations) Convert(file string, data []byte) (rules []Rule, err error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("file too large (limit %d bytes)", MaxFile)
	}
	defer func() { // a fault in the library must not end what reads a thousand files
		if fault := recover(); fault != nil {
			err = fmt.Errorf("this cannot be read: %s", printable(fmt.Sprint(fault)))
		}
	}()

	documents := yaml.NewDecoder(bytes.NewReader(data))
	inCollection := false
	for n := 0; ; n++ {
		var doc yaml.Node
		err := documents.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return rules, nil
		case err != nil:
			return rules, errors.New(printable(strings.TrimPrefix(err.Error(), "yaml: ")))
		case n >= maxDocuments:
			return rules, fmt.Errorf("more than %d documents", maxDocuments)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue // an empty document
		}
		r := convertDocument(doc.Content[0])
		switch textOf(member(doc.Content[0], "action")) {
		case "global":
			inCollection = true
		case "reset":
			inCollection = false
		default:
			if inCollection { // what it has from the document before would be left out
				r.Expr, r.Err = "", fail(doc.Content[0], "is part of a collection (action), which the format does not have any more")
			}
		}
		r.name = textOf(member(doc.Content[0], "name"))
		rules = append(rules, r)
		c.note(file, doc.Content[0])
	}
}

// convertDocument converts one rule.
func convertDocument(n *yaml.Node) Rule {
	r := Rule{Line: n.Line}
	if err := checkYAML(n, 0); err != nil {
		r.Err = err
		return r
	}
	if n.Kind != yaml.MappingNode {
		r.Err = fail(n, "is no Sigma rule, which is a mapping with title, logsource and detection")
		return r
	}
	r.Title, r.ID, r.Level = textOf(member(n, "title")), textOf(member(n, "id")), textOf(member(n, "level"))
	r.Expr, r.Err = convertRule(n)
	return r
}

// convertRule returns the expression for a rule.
func convertRule(n *yaml.Node) (string, error) {
	for key, why := range map[string]string{
		"correlation": "is a correlation, which needs more than one event",
		"filter":      "is a filter for other rules",
		"action":      "is a collection (action), which the format does not have any more",
	} {
		if m := member(n, key); m != nil && (key != "filter" || m.Kind == yaml.MappingNode) {
			return "", fail(m, "%s", why)
		}
	}
	source, err := sourceOf(member(n, "logsource"))
	if err != nil {
		return "", err
	}
	detection := member(n, "detection")
	if detection == nil || detection.Kind != yaml.MappingNode {
		return "", fail(n, "has no detection")
	}

	c := &converter{source: source, selections: make(map[string]*yaml.Node), done: make(map[string]*expr)}
	if err := c.gather(detection); err != nil {
		return "", err
	}
	src, err := c.expression(member(detection, "condition"), detection)
	if err != nil {
		return "", err
	}
	if _, err := filter.Compile(src); err != nil {
		return "", fmt.Errorf("the expression for it is not accepted: %s", firstLine(err.Error()))
	}
	return src, nil
}

// converter converts the detection of one rule.
type converter struct {
	source     *source
	selections map[string]*yaml.Node
	names      []string // of the selections, in their order
	done       map[string]*expr
	words      int // of the conditions
	size       int // of the texts in the expression, in bytes
	look       outlook
}

// gather notes the selections and what they ask for.
func (c *converter) gather(detection *yaml.Node) error {
	for i := 0; i+1 < len(detection.Content); i += 2 {
		name, value := detection.Content[i], detection.Content[i+1]
		switch name.Value {
		case "condition":
		case "timeframe":
			return fail(name, "has a timeframe, which needs more than one event")
		default:
			if len(c.names) >= maxNames {
				return fail(name, "has more than %d selections", maxNames)
			}
			c.names = append(c.names, name.Value)
			c.selections[name.Value] = value
		}
	}

	if len(c.names) == 0 {
		return fail(detection, "has no selection")
	}
	c.look = c.source.lookAt(usesOf(c.selections))
	return nil
}

// expression returns what holds for the events that the rule is about.
func (c *converter) expression(condition, detection *yaml.Node) (string, error) {
	if condition == nil {
		return "", fail(detection, "has no condition")
	}
	if err := c.lookAtOldFiles(condition); err != nil {
		return "", err
	}
	c.look.element = "#"
	e, err := c.conditions(condition)
	if err != nil || c.look.list == "" {
		return c.finish(e, err)
	}
	ofAll := e.op == "" && e.text == "" && c.look.list != "created_paths" // the base says it
	if ofAll || e.isPlain() {                                             // any(LIST, A or B) is any(LIST, A) or any(LIST, B), which needs no loop
		c.look.element = lists[c.look.list]
		clear(c.done)
		return c.finish(c.conditions(condition))
	}
	return c.finish(overList(c.look.list, e))
}

// lookAtOldFiles has a rule that was to be asked of new files be asked of the event if it may hold for files that were there before.
func (c *converter) lookAtOldFiles(condition *yaml.Node) error {
	if !c.look.ifNew {
		return nil
	}
	c.look.element, c.look.oldFiles = "#", true
	e, err := c.conditions(condition)
	if err != nil {
		return err
	}
	c.look.oldFiles = false
	if !e.isNever() {
		c.look.base, c.look.list = "", ""
	}
	clear(c.done)
	return nil
}

// finish adds what all events have that the rule is about.
func (c *converter) finish(e *expr, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return render(and(leaf(c.look.base), e))
}

// conditions converts the condition, or the list of them of which any has to hold.
func (c *converter) conditions(condition *yaml.Node) (*expr, error) {
	conditions := []*yaml.Node{condition}
	if condition.Kind == yaml.SequenceNode {
		conditions = condition.Content
	}
	c.words, c.size = 0, 0
	var any []*expr
	for _, n := range conditions {
		if n.Kind != yaml.ScalarNode {
			return nil, fail(n, "condition is no text")
		}
		e, err := c.condition(n)
		if err != nil {
			return nil, err
		}
		any = append(any, e)
	}
	if len(any) == 0 {
		return nil, fail(condition, "condition is empty")
	}

	return or(any...), nil
}

// sourceOf returns the log source that a rule is for.
func sourceOf(n *yaml.Node) (*source, error) {
	product, service, category := textOf(member(n, "product")), textOf(member(n, "service")), textOf(member(n, "category"))
	if product == "" && service == "" && category == "" {
		return nil, errors.New("has no logsource")
	}
	if product == "linux" {
		for _, s := range sources {
			if s.service == service && s.category == category {
				return s, nil
			}
		}
	}
	words := slices.DeleteFunc([]string{product, category, service}, func(s string) bool { return s == "" })
	return nil, fmt.Errorf("%w, %s", ErrElsewhere, printable(strings.Join(words, " ")))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
