package ecs

import "github.com/elastic/go-libaudit/v2/auparse"

// messagePool keeps auparse's messages from event to event. A message parses its text
// once and then hands out the same map (AuditMessage.Data: "all future invocations return
// the stored result"). These have no text, so the map is empty, and ours to fill.
type messagePool struct {
	free, used []*auparse.AuditMessage
}

// What is kept from event to event: so many messages, each with a map that has held
// at most so many fields.
const (
	keptMessages = 64
	keptFields   = 64
)

func (m *messagePool) take() (*auparse.AuditMessage, map[string]string) {
	var msg *auparse.AuditMessage
	if n := len(m.free); n > 0 {
		msg, m.free = m.free[n-1], m.free[:n-1]
	} else {
		msg = new(auparse.AuditMessage)
	}
	m.used = append(m.used, msg)
	msg.RecordType = 0 // a type for which auparse requires no fields
	data, _ := msg.Data()
	return msg, data
}

// release takes all messages back. Their maps are of the event that is over.
func (m *messagePool) release() {
	for i, msg := range m.used {
		data, _ := msg.Data()
		small := len(data) <= keptFields
		clear(data)
		if small && len(m.free) < keptMessages {
			m.free = append(m.free, msg)
		}
		m.used[i] = nil
	}
	m.used = m.used[:0]
}
