package live

import (
	"slices"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"audisp-relay/plugin/overview"
)

// maxFilter is the most bytes of a filter.
const maxFilter = 64

// helpText has a line for each key.
var helpText = []string{
	"s S     sort by the next column, by the one before",
	"r       reverse the order",
	"/       filter: rows whose sink, type or state has this text; Esc ends it",
	"↓ ↑ j k select a sink, whose queue the second graph shows; Esc: all sinks",
	"p       pause: the screen stays as it is",
	"? h     this help",
	"q       quit",
	"",
	"IN/S OUT/S  records received and delivered in a second, over the last ten",
	"OLDEST      age of the oldest record that waits (?: it is on disk)",
	"SPOOLED     bytes on disk",
	"ACK P99     99 of 100 records were delivered within this time after their",
	"            own, over the last five minutes",
	"LOST        records lost within an hour and a day; what to do is below",
}

// press acts on a key.
func (m *model) press(msg tea.KeyPressMsg) tea.Cmd {
	if msg.String() == "ctrl+c" {
		return tea.Quit
	}
	if m.typing {
		m.edit(msg)
		return nil
	}

	switch msg.String() {
	case "q":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?", "h":
		m.help = !m.help
	case "p", "space":
		m.paused = !m.paused
	case "r":
		m.reversed = !m.reversed
	case "s":
		m.sorted = (m.sorted + 1) % len(orders)
	case "S":
		m.sorted = (m.sorted + len(orders) - 1) % len(orders)
	case "/":
		m.typing, m.help = true, false
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "esc":
		m.filter, m.selected, m.help = "", "", false
	}
	return nil
}

// edit changes the filter.
func (m *model) edit(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-size]
	case "ctrl+u":
		m.filter = ""
	default:
		if text := msg.Key().Text; overview.Clean(text) == text && len(m.filter)+len(text) <= maxFilter {
			m.filter += text
		}
	}
}

// move selects the sink that is by steps below the selected one, from none the first or last.
func (m *model) move(by int) {
	rows := m.rows()
	if len(rows) == 0 {
		return
	}
	at := slices.IndexFunc(rows, func(r *row) bool { return r.Name == m.selected })
	switch {
	case at < 0 && by > 0:
		at = 0
	case at < 0:
		at = len(rows) - 1
	default:
		at = min(max(at+by, 0), len(rows)-1)
	}
	m.selected = rows[at].Name
}
