package unix

import (
	"fmt"
	"time"
)

// Details are what the status of a sink says of those that it serves, or of its collector.
type Details struct {
	Pid     int      `json:"pid,omitempty"` // of the collector
	Clients []Client `json:"clients,omitempty"`
	// Refused counts clients that were turned away, Dropped those that were
	// disconnected because they were too slow.
	Refused uint64 `json:"refused,omitempty"`
	Dropped uint64 `json:"dropped,omitempty"`
	// Repeated counts messages that were sent again after a connection broke: they may
	// have come twice.
	Repeated uint64 `json:"repeated,omitempty"`
}

// Client is one connection to the socket.
type Client struct {
	Pid       int       `json:"pid"`
	UID       int       `json:"uid"`
	Since     time.Time `json:"since"`
	Delivered uint64    `json:"delivered"` // records
	Lost      uint64    `json:"lost"`      // records it was made to skip
	Pending   int       `json:"pending"`   // records that wait for it
}

// WriteText implements sinks.Details.
func (d *Details) WriteText(line func(key string, value any)) {
	for _, c := range d.Clients {
		line("client", fmt.Sprintf("pid %d uid %d since %s: delivered %d, pending %d, lost %d",
			c.Pid, c.UID, c.Since.Local().Format(time.DateTime), c.Delivered, c.Pending, c.Lost))
	}
	line("clients refused", d.Refused)
	line("clients disconnected as too slow", d.Dropped)
}
