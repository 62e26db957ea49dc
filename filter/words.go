package filter

import "slices"

// wordSet is the words that the searches of a scan look for in one way.
type wordSet struct {
	list   []scanWord
	number map[string]int // of a word in list, until they are complete
	auto   *automaton     // nil without words
}

// scanWord is a word, and what it means to find it.
type scanWord struct {
	length int
	any    *scanUse            // in any case; nil: no expression looks for it so
	whole  *scanUse            // in any case, where it is all of the text
	exact  map[string]*scanUse // upper and lower case as they are
}

// scanUse is the searches that a word is enough for.
type scanUse struct {
	groups []uint32 // of the searches
	// all is a group that is set once these are, so that a word which is there often costs a hundred rules no more than one.
	all uint32
}

// useKey says which word a search looks for, and how.
type useKey struct {
	mode  searchMode
	exact bool
	word  string // folded unless exact
}

func newScan(number, slot int) *scan {
	return &scan{number: number, slot: slot, uses: make(map[useKey]*scanUse), equal: make(map[string]*scanUse)}
}

// add adds a search and returns its group.
func (sc *scan) add(s search) uint32 {
	group := sc.groups
	sc.groups++
	for _, w := range s.words {
		key := useKey{mode: s.mode, exact: s.exact, word: w}
		if !s.exact {
			key.word = foldText(w)
		}
		use := sc.uses[key]
		if use == nil {
			use = new(scanUse)
			sc.uses[key] = use
			sc.addUse(key, use)
		}
		if n := len(use.groups); n == 0 || use.groups[n-1] != group { // a word may be there twice
			use.groups = append(use.groups, group)
		}
	}
	return group
}

// fewWords are looked for one by one: up to here that is quicker, and takes less memory.
const fewWords = 8

// finder returns a function that says whether a text has one of the words. Its time is proportional to the text's
// length, however many words there are.
func (s *search) finder() func(text string) bool {
	if len(s.words) <= fewWords || slices.Contains(s.words, "") {
		return s.in
	}
	sc := newScan(0, 0)
	sc.add(*s)
	sc.build()
	return func(text string) bool {
		var bits [1]uint64 // it is one search
		sc.run(text, bits[:])
		return bits[0] != 0
	}
}

// addUse puts a use where finding its word leads to.
func (sc *scan) addUse(key useKey, use *scanUse) {
	if key.exact && key.mode == whole {
		sc.equal[key.word] = use
		sc.longest = max(sc.longest, len(key.word))
		return
	}

	set, word := &sc.starts, foldText(key.word)
	switch key.mode {
	case within:
		set = &sc.within
	case atEnd:
		set, word = &sc.ends, reversed(word)
	}
	w := set.word(word)
	switch {
	case key.exact && w.exact == nil:
		w.exact = map[string]*scanUse{key.word: use}
	case key.exact:
		w.exact[key.word] = use
	case key.mode == whole:
		w.whole = use
	default:
		w.any = use
	}
}

// word returns the word of that text. It may be written to until the next is asked for.
func (set *wordSet) word(text string) *scanWord {
	if set.number == nil {
		set.number = make(map[string]int)
	}
	n, there := set.number[text]
	if !there {
		n = len(set.list)
		set.number[text] = n
		set.list = append(set.list, scanWord{length: len(text)})
	}
	return &set.list[n]
}

func reversed(s string) string {
	out := make([]byte, len(s))
	for i := range len(s) {
		out[len(s)-1-i] = s[i]
	}
	return string(out)
}

// build makes the automata when all words are known.
func (sc *scan) build() {
	for _, use := range sc.uses {
		if use.all = use.groups[0]; len(use.groups) > 1 {
			use.all = sc.groups
			sc.groups++
		}
	}
	sc.uses = nil
	for _, set := range []*wordSet{&sc.within, &sc.starts, &sc.ends} {
		if len(set.list) == 0 {
			continue
		}
		words := make([]string, len(set.list))
		for w, n := range set.number {
			words[n] = w
		}
		set.auto, set.number = newAutomaton(words), nil
	}
}

// run sets the bits of what is found in one text.
func (sc *scan) run(text string, bits []uint64) {
	if text == "" { // no word is
		return
	}
	if len(text) <= sc.longest {
		if use := sc.equal[text]; use != nil {
			use.set(bits)
		}
	}
	if sc.starts.auto != nil {
		sc.starts.readForward(text, bits)
	}
	if sc.ends.auto != nil {
		sc.ends.readBackward(text, bits)
	}
	if sc.within.auto != nil {
		sc.within.readAll(text, bits)
	}
}

// readAll finds words wherever they stand.
func (set *wordSet) readAll(text string, bits []uint64) {
	a, state := set.auto, uint32(0)
	for i := 0; i < len(text); i++ {
		class := a.class[text[i]]
		if class == 0 {
			state = 0
			continue
		}
		state = a.next(state, class)
		for s := a.last[state]; s >= 0; s = a.last[a.fail[s]] {
			w := &set.list[a.ends[s]]
			w.note(text[i+1-w.length:i+1], bits)
		}
	}
}

// readForward finds words that the text begins with. It ends at the first byte with which no word continues.
func (set *wordSet) readForward(text string, bits []uint64) {
	a, state := set.auto, uint32(0)
	for i := 0; i < len(text); i++ {
		if state = a.longer(state, a.class[text[i]]); state == 0 {
			return
		}
		if n := a.ends[state]; n >= 0 {
			w := &set.list[n]
			w.note(text[:i+1], bits)
			if w.whole != nil && i+1 == len(text) {
				w.whole.set(bits)
			}
		}
	}
}

// readBackward finds words, written backwards, that the text ends with.
func (set *wordSet) readBackward(text string, bits []uint64) {
	a, state := set.auto, uint32(0)
	for i := len(text) - 1; i >= 0; i-- {
		if state = a.longer(state, a.class[text[i]]); state == 0 {
			return
		}
		if n := a.ends[state]; n >= 0 {
			set.list[n].note(text[i:], bits)
		}
	}
}

// note sets the bits of a word that stands in the text as piece.
func (w *scanWord) note(piece string, bits []uint64) {
	if w.any != nil {
		w.any.set(bits)
	}
	if w.exact != nil {
		if use := w.exact[piece]; use != nil {
			use.set(bits)
		}
	}
}

// set sets the bits of all searches.
func (u *scanUse) set(bits []uint64) {
	if hasBit(bits, u.all) {
		return
	}
	for _, group := range u.groups {
		setBit(bits, group)
	}
	setBit(bits, u.all)
}
