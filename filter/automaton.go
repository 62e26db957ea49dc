package filter

// automaton finds all occurrences of many words in one pass over a text (Aho and Corasick, "Efficient string matching",
// CACM 18, 1975), upper and lower case of ASCII being the same.
//
// It is ours because what there is for Go allocates for each occurrence (petar-dambovaliev, cloudflare), takes a kilobyte and
// more for each letter of the words (BobuSumisu, cloudflare), or would need a folded copy of each text. It does not change once it is made.
//
// A state is what of the text read so far begins a word, the longest such end of it. States are numbered by their length, so that
// those which a state leads to stand together. The short ones, in which nearly all of the time is spent, have a row with the next state for each
// class of bytes; the others have but the bytes that continue a word.
type automaton struct {
	class  [256]uint8 // bytes that no word tells apart are one class; 0: those in no word
	stride uint32     // how many classes there are
	rows   []uint32   // of the first states: the next state for each class
	short  uint32     // how many states have a row

	first []uint32 // by state, and one more: the first of the states that continue it, which end where those of the next state begin
	in    []uint8  // by state: the class of its last byte
	fail  []uint32 // by state: the longest other state that it ends with
	ends  []int32  // by state: the word that it is, -1 for none
	last  []int32  // by state: itself if it is a word, else the longest state that it ends with and that is one; -1 for none
}

// maxRows bounds the states that have a row.
const maxRows = 4096

// rowLength is how long a state with a row is at most.
const rowLength = 2

// newAutomaton makes one of folded words. None is empty, and none is there twice.
func newAutomaton(words []string) *automaton {
	a := &automaton{stride: 1}
	for _, w := range words {
		for i := 0; i < len(w); i++ {
			if a.class[w[i]] == 0 {
				a.class[w[i]] = uint8(a.stride)
				a.stride++
			}
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c|0x20]
	}
	a.number(a.grow(words))
	a.complete()
	return a
}

// twig is a state before all are known. The states that continue it are a list.
type twig struct {
	kid, sibling uint32 // 0: none
	word         int32  // that it is, -1 for none
	class        uint8
}

// grow returns the states in the order in which the words bring them; the first is that of no text.
func (a *automaton) grow(words []string) []twig {
	tree := []twig{{word: -1}}
	for n, w := range words {
		at := uint32(0)
		for i := 0; i < len(w); i++ {
			class := a.class[w[i]]
			kid := tree[at].kid
			for kid != 0 && tree[kid].class != class {
				kid = tree[kid].sibling
			}
			if kid == 0 {
				kid = uint32(len(tree))
				tree = append(tree, twig{class: class, word: -1, sibling: tree[at].kid})
				tree[at].kid = kid
			}
			at = kid
		}
		tree[at].word = int32(n)
	}
	return tree
}

// number numbers the states by their length, and says which have a row.
func (a *automaton) number(tree []twig) {
	n := len(tree)
	a.first, a.in, a.ends = make([]uint32, 0, n+1), make([]uint8, 0, n), make([]int32, 0, n)
	order, length := make([]uint32, 1, n), make([]uint8, 1, n) // of tree, from the first on
	for i := 0; i < len(order); i++ {
		t := &tree[order[i]]
		a.first, a.in, a.ends = append(a.first, uint32(len(order))), append(a.in, t.class), append(a.ends, t.word)
		if length[i] <= rowLength && i < maxRows {
			a.short++
		}
		for kid := t.kid; kid != 0; kid = tree[kid].sibling {
			order, length = append(order, kid), append(length, min(length[i]+1, rowLength+1))
		}
	}
	a.first = append(a.first, uint32(len(order)))
}

// complete finds what each state ends with, and fills in the rows. It goes from short states to long ones: what a state ends with is shorter.
func (a *automaton) complete() {
	n := uint32(len(a.in))
	a.fail, a.last, a.rows = make([]uint32, n), make([]int32, n), make([]uint32, a.short*a.stride)
	a.last[0] = -1
	for s := range n {
		if s > 0 {
			if a.last[s] = a.last[a.fail[s]]; a.ends[s] >= 0 {
				a.last[s] = int32(s)
			}
		}
		if s < a.short {
			row := a.rows[s*a.stride : (s+1)*a.stride]
			if s > 0 {
				copy(row, a.rows[a.fail[s]*a.stride:])
			}
			for kid := a.first[s]; kid < a.first[s+1]; kid++ {
				row[a.in[kid]] = kid
			}
		}
		for kid := a.first[s]; kid < a.first[s+1] && s > 0; kid++ { // those of the first end with nothing
			a.fail[kid] = a.next(a.fail[s], a.in[kid])
		}
	}
}

// longer returns the state that a byte of a class makes of another one by going on with it; 0 if no word does.
func (a *automaton) longer(state uint32, class uint8) uint32 {
	from, to := a.first[state], a.first[state+1]
	if state < a.short {
		if next := a.rows[state*a.stride+uint32(class)]; next >= from && next < to {
			return next
		}
		return 0
	}
	for kid := from; kid < to; kid++ {
		if a.in[kid] == class {
			return kid
		}
	}
	return 0
}

// next returns the state that a byte of a class leads to.
func (a *automaton) next(state uint32, class uint8) uint32 {
	for state >= a.short {
		for kid := a.first[state]; kid < a.first[state+1]; kid++ {
			if a.in[kid] == class {
				return kid
			}
		}
		state = a.fail[state]
	}
	return a.rows[state*a.stride+uint32(class)]
}
