package overview

import (
	"cmp"
	"fmt"
	"slices"

	"audisp-relay/plugin"
	"audisp-relay/sinks/unix"
)

// client is one connection to the socket of a sink.
type client struct {
	Sink string
	unix.Client
}

// clientsOf lists the clients of all sockets; those that are furthest behind come first.
func clientsOf(r *plugin.Report) (list []client) {
	for i := range r.Consumers {
		c := &r.Consumers[i]
		if d, isUnix := c.Sink.Details.(*unix.Details); isUnix && d != nil {
			for _, connected := range d.Clients {
				list = append(list, client{c.Name, connected})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b client) int { return cmp.Compare(b.Pending, a.Pending) })
	return list
}

// ClientLines shows the clients of all sockets, in a table of at most most rows.
func ClientLines(r *plugin.Report, width, most int) []string {
	clients := clientsOf(r)
	if len(clients) == 0 {
		return nil
	}
	line := func(sink, pid, uid, program, since, delivered, pending, lost string) string {
		return Fit(fmt.Sprintf("%s %s %s  %s %s %s %s %s", Fit(sink, max(12, width-68), false), Fit(pid, 7, true), Fit(uid, 10, true),
			Fit(program, 15, false), Fit(since, 7, true), Fit(delivered, 9, true), Fit(pending, 7, true), Fit(lost, 5, true)), width, false)
	}
	lines := []string{line("CLIENT OF", "PID", "UID", "PROGRAM", "SINCE", "DELIVERED", "PENDING", "LOST")}
	for n, c := range clients {
		if n == most {
			return append(lines, fmt.Sprintf("and %d more: status --all", len(clients)-most))
		}
		lines = append(lines, line(Clean(c.Sink), fmt.Sprint(c.Pid), fmt.Sprint(c.UID), cmp.Or(Clean(c.Program), "?"),
			Age(r.Now.Sub(c.Since)), Count(c.Delivered), Count(uint64(max(c.Pending, 0))), Count(c.Lost)))
	}
	return lines
}
