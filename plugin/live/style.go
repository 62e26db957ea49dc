package live

import (
	"github.com/charmbracelet/x/ansi"

	"audisp-relay/plugin"
	"audisp-relay/plugin/overview"
)

// Styles say nothing that the text does not say too: a terminal may have none.
var (
	bold      = ansi.Style{}.Bold()
	faint     = ansi.Style{}.Faint()
	good      = ansi.Style{}.Bold().ForegroundColor(ansi.Green)
	warning   = ansi.Style{}.Bold().ForegroundColor(ansi.Yellow)
	bad       = ansi.Style{}.Bold().ForegroundColor(ansi.Red)
	graphs    = ansi.Style{}.ForegroundColor(ansi.Cyan)
	selection = ansi.Style{}.Reverse(true)
)

// stateStyle is how a state of the relay or of a sink is shown.
func stateStyle(state string) ansi.Style {
	switch state {
	case plugin.StateOK:
		return good
	case plugin.StateLosing, overview.Down:
		return bad
	}
	return warning
}
