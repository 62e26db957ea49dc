package live

import (
	"math"
	"strings"
)

// maxSamples is how many samples a series keeps: more than the widest graph shows.
const maxSamples = 512

// series is the last samples of a figure, one a second while the relay answers.
type series []float64

// add appends a sample, and forgets the oldest where there are too many.
func (s *series) add(value float64) {
	if math.IsNaN(value) || value < 0 {
		value = 0
	}
	if len(*s) == maxSamples {
		copy(*s, (*s)[1:])
		*s = (*s)[:maxSamples-1]
	}
	*s = append(*s, value)
}

// peak is the largest of the last width samples.
func (s series) peak(width int) (most float64) {
	for _, value := range s.last(width) {
		most = max(most, value)
	}
	return most
}

func (s series) last(width int) series { return s[max(0, len(s)-max(width, 0)):] }

var bars = []rune("▁▂▃▄▅▆▇█")

// graph draws the last samples as bars, the newest on the right, in exactly width columns. The
// highest bar is the largest of them.
func (s series) graph(width int) string {
	shown := s.last(width)
	most := s.peak(width)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", max(0, width-len(shown))))
	for _, value := range shown {
		level := 0
		if most > 0 {
			level = int(math.Ceil(value / most * float64(len(bars)-1)))
		}
		b.WriteRune(bars[min(max(level, 0), len(bars)-1)])
	}
	return b.String()
}
