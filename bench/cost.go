package main

import (
	"fmt"
	"slices"

	"audisp-relay/test/lab"
)

// costWhat is the load as a program that is audited sees it: it calls, and waits in the kernel
// where auditd does not keep up (audit_log_start in kernel/audit.c).
const costWhat = "audited program flat out: calls/s, of those with auditd alone"

// Who is in the rows of cost besides the chains of live.
const (
	noRule   = "auditd, no rule"
	noPlugin = "auditd alone"
)

// cost is what auditing takes from the audited program: how many system calls it makes a second,
// one after the other, with auditd that only logs and with each plugin besides. A round has each
// case once, every second one in the opposite order: the machine is another one from minute to
// minute, and so only figures of one round are compared.
func (b *bench) cost(t *scope) {
	chains := append([]liveChain{{who: noRule, unaudited: true}, {who: noPlugin}}, b.liveChains()...)
	order := slices.Clone(chains)
	failed := make(map[string]bool) // who could not be measured: said once, and not tried again
	var rounds []map[string]liveFigure
	for range b.rounds {
		found := make(map[string]liveFigure)
		for _, c := range order {
			if failed[c.who] || (c.setup != nil && b.leavesOut(c.relay)) {
				continue
			}
			failed[c.who] = true
			b.measure(costWhat, c.who, func(t *scope) {
				found[c.who] = b.liveOnce(t, c, 0)
				failed[c.who] = false
			})
		}
		rounds = append(rounds, found)
		slices.Reverse(order)
	}

	for _, r := range costRows(chains, rounds) {
		b.add(r)
	}
	b.add(row{What: costWhat, Who: "with", Detail: b.versions()})
}

// costRows are the medians over rounds, each of who was measured and when.
func costRows(chains []liveChain, rounds []map[string]liveFigure) (rows []row) {
	for _, c := range chains {
		var rates, shares []float64
		lost, full := 0, 0
		for _, found := range rounds {
			f, ok := found[c.who]
			if !ok {
				continue
			}
			rates = append(rates, f.rate)
			lost, full = lost+f.lost, full+f.full
			if alone, ok := found[noPlugin]; ok {
				shares = append(shares, f.rate/alone.rate)
			}
		}
		if len(rates) == 0 {
			continue // there is a row that says why
		}

		r := row{What: costWhat, Who: c.who, Detail: fmt.Sprintf("%.0f/s, median of %d from %.0f to %.0f; lost %d events, queue full said %d times",
			median(rates), len(rates), slices.Min(rates), slices.Max(rates), lost, full)}
		if len(shares) > 0 {
			r.Value, r.Unit = median(shares), "times"
			if c.relay {
				r = r.goal("≥ 0.97, nothing lost", r.Value >= 0.97 && lost == 0)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// median of one value or more.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// versions names what a figure depends on.
func (b *bench) versions() string {
	laurel := "none"
	_ = inScope("laurel", func(t *scope) { laurel = b.laurelVersion(t) })
	return fmt.Sprintf("auditd %s, laurel %s, kernel %s", lab.Version(""), laurel, kernelRelease())
}
