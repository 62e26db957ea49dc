package record

// Kept returns for how many arguments and bytes a has memory.
func (a *Args) Kept() (list, text int) { return cap(a.list), cap(a.text) }

// AppendText appends text as the kernel writes what a user may have chosen: in quotes or
// in upper-case hex (kernel/audit.c, audit_log_n_untrustedstring).
func AppendText(dst, text []byte) []byte {
	if !NeedsHex(text) {
		dst = append(dst, '"')
		dst = append(dst, text...)
		return append(dst, '"')
	}
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// NameCursor returns a cursor at the first of r's names.
func (r *Parsed) NameCursor() Names { return Names{rest: r.Names} }
