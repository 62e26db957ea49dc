package doctor

// Printable returns text in one line, with nothing in it that could do something to a terminal: for what
// is shown beside findings.
func Printable(text string) string { return printable(text) }
