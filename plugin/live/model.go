package live

import (
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"audisp-relay/plugin"
)

// every is how long after an answer the relay is asked again.
const every = time.Second

// model is the state of the view.
type model struct {
	ask Ask
	now func() time.Time

	width, height int // of the terminal

	report *plugin.Report // the last one that came, nil before the first
	err    error          // why the last question was not answered, nil if it was
	away   time.Time      // since when there is no answer

	input  series            // records a second
	queued map[string]series // records, of each sink of the last report

	paused bool
	help   bool
	typing bool // keys go to filter
	filter string

	sorted   int // of orders
	reversed bool
	selected string // name of a sink, "" for the sum of all
}

func newModel(ask Ask, now func() time.Time) *model {
	return &model{ask: ask, now: now, width: 80, height: 24, queued: make(map[string]series)}
}

// answer is what became of a question.
type answer struct {
	report *plugin.Report
	err    error
}

// again says that it is time to ask.
type again struct{}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return m.question() }

// question asks the relay, outside of the event loop.
func (m *model) question() tea.Cmd {
	ask := m.ask
	return func() tea.Msg {
		r, err := ask()
		return answer{r, err}
	}
}

// Update implements tea.Model. There is always one question on its way or one wait for the next.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case answer:
		m.take(msg)
		return m, wait()
	case again:
		if m.paused {
			return m, wait()
		}
		return m, m.question()
	}
	return m, nil
}

func wait() tea.Cmd { return tea.Tick(every, func(time.Time) tea.Msg { return again{} }) }

// take notes an answer. One that comes while the view is paused changes nothing.
func (m *model) take(a answer) {
	if m.paused {
		return
	}
	if a.err != nil {
		if m.err == nil {
			m.away = m.now()
		}
		m.err = a.err
		return
	}

	m.report, m.err = a.report, nil
	m.input.add(a.report.Input.Rate)
	before := m.queued
	m.queued = make(map[string]series, len(a.report.Consumers))
	for i := range a.report.Consumers {
		c := &a.report.Consumers[i]
		s := before[c.Name]
		s.add(float64(c.Queued))
		m.queued[c.Name] = s
	}
	if _, there := m.queued[m.selected]; !there {
		m.selected = ""
	}
}

// runs says whether the last answer says that the plugin runs.
func (m *model) runs() bool { return m.report != nil && m.err == nil }

// down says whether it is known that the plugin does not run.
func (m *model) down() bool { return errors.Is(m.err, plugin.ErrNotRunning) }
