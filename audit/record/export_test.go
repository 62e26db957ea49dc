package record

// Kept returns for how many arguments and bytes a has memory.
func (a *Args) Kept() (list, text int) { return cap(a.list), cap(a.text) }
