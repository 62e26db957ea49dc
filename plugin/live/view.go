package live

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin/overview"
)

// View implements tea.Model.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}

// screen returns height lines of at most width columns: the last one is about keys.
func (m *model) screen() []string {
	if m.width < 1 || m.height < 1 {
		return nil
	}
	lines := m.top()
	if m.height >= tall {
		lines = append(lines, "")
	}
	room := m.height - 1 - len(lines)
	switch {
	case m.help:
		lines = append(lines, helpText...)
	case m.report != nil:
		lines = append(lines, m.body(room)...)
	}

	lines = fitLines(lines, m.height-1)
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.bottom())
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return lines
}

// fitLines returns at most most lines, the last of which says how many are left out.
func fitLines(lines []string, most int) []string {
	const worthALine = 3
	if len(lines) <= most || most < worthALine {
		return lines[:min(len(lines), most)]
	}
	return append(lines[:most-1], faint.Styled(fmt.Sprintf("… %d more lines on a larger terminal", len(lines)-most+1)))
}

// tall is how many lines a terminal has at least for more than the state and the table.
const tall = 12

// top is the state, what the relay is, and the two graphs.
func (m *model) top() []string {
	state, text := m.headline()
	most := 3
	if m.height < tall {
		most = 1
	}
	var lines []string
	for _, line := range overview.Wrap(text, m.width, 4, most) {
		lines = append(lines, stateStyle(state).Styled(line))
	}
	if m.report == nil || m.height < tall {
		return lines
	}
	queued, name := m.queue()
	return append(lines,
		overview.Facts(m.report)[0],
		m.graphLine(fmt.Sprintf("input  %s records/s", overview.Rate(m.report.Input.Rate)), m.input),
		m.graphLine(fmt.Sprintf("queued %s records%s", overview.Count(uint64(queued.last(1).peak(1))), name), queued))
}

// headline returns the state and the line that says it.
func (m *model) headline() (state, text string) {
	switch {
	case m.err == nil && m.report == nil:
		return "", "asking the relay …"
	case m.runs():
		return overview.State(m.report), overview.Headline(m.report)
	case m.down():
		state = overview.Down
	default:
		state = "no answer"
	}
	return state, fmt.Sprintf("%s since %s (%s): %s", state,
		m.away.Local().Format("15:04:05"), overview.Age(m.now().Sub(m.away)), overview.Clean(m.err.Error()))
}

// graphLine puts a graph after a text, and the largest figure in it after the graph.
func (m *model) graphLine(text string, s series) string {
	const textWidth, peakWidth = 34, 12
	width := m.width - textWidth - peakWidth - 2
	if width < 8 {
		return text
	}
	return overview.Fit(text, textWidth, false) + " " + graphs.Styled(s.graph(width)) +
		faint.Styled(" max "+overview.Count(uint64(s.peak(width))))
}

// queue returns the depth of the selected queue, or of all together, and of which.
func (m *model) queue() (sum series, name string) {
	if s, one := m.queued[m.selected]; one {
		return s, " in " + overview.Clean(m.selected)
	}
	for _, s := range m.queued {
		for len(sum) < len(s) {
			sum = append(series{0}, sum...)
		}
		for i, value := range s {
			sum[len(sum)-len(s)+i] += value
		}
	}
	return sum, ""
}

// body is the table, and what of reasons, losses and clients there is room for.
func (m *model) body(room int) []string {
	var more []string
	for _, part := range [][]string{
		overview.Reasons(m.report, m.width), overview.Flaws(m.report, m.width),
		overview.LossLines(m.report, m.width, room), overview.ClientLines(m.report, m.width, room),
	} {
		if len(part) > 0 {
			more = append(append(more, ""), part...)
		}
	}

	all := m.rows()
	// The table has half of the room at least, and what the rest leaves.
	most := max(room/2, room-1-len(more))
	rows := m.window(all, most)
	if len(rows) < len(all) {
		rows = m.window(all, most-1) // a line says how many there are
	}

	lines := []string{bold.Styled(overview.Header(m.tableWidth()))}
	for _, r := range rows {
		lines = append(lines, m.rowLine(r))
	}
	if len(rows) < len(all) {
		lines = append(lines, faint.Styled(fmt.Sprintf("… %d of %d sinks: ↓ ↑ for others, / for some", len(rows), len(all))))
	}
	if len(rows) == 0 && m.filter != "" {
		lines = append(lines, "no sink has this text")
	}
	return append(lines, more...)
}

// window returns the rows around the selected one, at most most.
func (m *model) window(rows []*row, most int) []*row {
	most = max(most, 1)
	if len(rows) <= most {
		return rows
	}
	at := slices.IndexFunc(rows, func(r *row) bool { return r.Name == m.selected })
	first := min(max(at-most/2, 0), len(rows)-most)
	return rows[first : first+most]
}

// Terminals that are wide enough have a graph of the queue in each row.
const (
	wide       = 110
	graphWidth = 24
)

func (m *model) tableWidth() int {
	if m.width >= wide {
		return m.width - graphWidth - 1
	}
	return m.width
}

// rowLine shows one sink. Figures of a relay that does not answer are the last ones, and faint.
func (m *model) rowLine(r *row) string {
	line := overview.RowOf(r, m.report.Now).Line(m.tableWidth())
	switch state := overview.SinkState(r); {
	case r.Name == m.selected:
		line = selection.Styled(line)
	case !m.runs():
		line = faint.Styled(line)
	case state != "ok":
		line = warning.Styled(line)
	case overview.Sum(r.Lost1h) > 0:
		line = bad.Styled(line)
	}
	if m.width >= wide {
		line += " " + graphs.Styled(m.queued[r.Name].graph(graphWidth))
	}
	return line
}

// bottom says how rows are sorted and filtered, and which keys there are.
func (m *model) bottom() string {
	if m.typing {
		return bold.Styled("filter: ") + m.filter + selection.Styled(" ") + faint.Styled("  Enter keeps it, Esc ends it")
	}
	arrow := "↑"
	if orders[m.sorted].largest != m.reversed {
		arrow = "↓"
	}
	text := fmt.Sprintf("by %s %s", orders[m.sorted].name, arrow)
	if m.filter != "" {
		text += fmt.Sprintf(", with %q", ansi.Truncate(m.filter, 16, "…"))
	}
	if m.paused {
		text = "PAUSED, " + text
	}
	return bold.Styled(text) + faint.Styled(shortHelp[m.help])
}

// shortHelp is what the last line says of keys, by whether all of them are shown above it.
var shortHelp = map[bool]string{
	false: "   q quit  s sort  r reverse  / filter  p pause  ? help",
	true:  "   ? back  q quit",
}
