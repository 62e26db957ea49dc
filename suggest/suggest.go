// Package suggest finds the word that a misspelt one was most likely meant to be.
package suggest

import "strings"

// longest is the most letters of a word that is looked for.
const longest = 64

// Nearest returns the one of names that word was most likely meant to be, "" when none is near: a third
// of the letters may be wrong, and one always. Case does not count.
func Nearest(word string, names []string) string {
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, name := range names {
		d := Distance(strings.ToLower(word), strings.ToLower(name))
		if d < least || (d == least && best != "" && name < best) {
			best, least = name, d
		}
	}
	return best
}

// Distance is the number of letters to insert, delete, replace or swap with their
// neighbour to make b of a.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}

	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
