package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error is one thing that is wrong in a config file.
type Error struct {
	File string // as it was given to Load or Parse
	Line int    // counted from 1; 0 when it cannot be said
	Key  string // the key or table in dotted form; may be empty
	Msg  string // what is wrong and what is allowed, one line
	// Shown points at the place within a value of several parts, a filter: lines of
	// its text and a caret, for a terminal; "" when there is nothing to show.
	Shown string
}

// Error gives "file:line: key: what is wrong, what is allowed" without control
// characters, whatever the file or its name holds.
func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Key == "" {
		return OneLine(where + ": " + e.Msg)
	}
	return OneLine(where + ": " + e.Key + ": " + e.Msg)
}

// OneLine replaces what must not reach a terminal or log from a file.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// Errors is everything that is wrong with a config, in the order of the
// file's lines. It is never returned empty.
type Errors []*Error

// Error gives one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders the errors by line and turns "none" into a nil error.
func (es Errors) sorted() error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int { return a.Line - b.Line })
	return es
}

// asErrors makes an Errors of any error, so that lists of both kinds can be
// joined.
func asErrors(err error, file string, line int, key string) Errors {
	if es, ok := errors.AsType[Errors](err); ok {
		return es
	}
	return Errors{{File: file, Line: line, Key: key, Msg: err.Error()}}
}
