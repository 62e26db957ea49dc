package jsontext

// AppendNames appends names as the elements of a JSON array, without its brackets.
func AppendNames(dst []byte, names []string) []byte {
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = AppendString(dst, []byte(name), false)
	}
	return dst
}

// Reopen takes the end off a line that is an object, so that members can be added to it: "}" and a newline.
func Reopen(line []byte) []byte { return line[:len(line)-len("}\n")] }
