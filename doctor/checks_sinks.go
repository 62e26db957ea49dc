package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"audisp-relay/config"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

func sinkChecks() []Check {
	return []Check{
		{Code: "AR-SINK-DOWN", Title: "A sink does not deliver", Severity: Critical, After: 30 * time.Second,
			DependsOn: []string{"AR-SANDBOX-READONLY", "AR-SANDBOX-NETWORK", "AR-CERT-EXPIRED"}, Find: findSinkDown},
		{Code: "AR-SINK-SUSPENDED", Title: "A sink is suspended", Severity: Critical, Find: findSinkSuspended},
		{Code: "AR-SINK-LATE", Title: "A sink is late", Severity: Warn, After: time.Minute,
			DependsOn: []string{"AR-SINK-DOWN", "AR-SINK-SUSPENDED", "AR-SINK-NO-CLIENT", "AR-INPUT-STALLED"}, Find: findSinkLate},
		{Code: "AR-SINK-NO-CLIENT", Title: "Nothing reads from a sink that keeps records", Severity: Warn, After: time.Minute,
			DependsOn: []string{"AR-SINK-DOWN"}, Find: findNoClient},
		{Code: "AR-SINK-LOST", Title: "A sink has lost records", Severity: Critical, DependsOn: []string{"AR-SINK-SUSPENDED"}, Find: findSinkLost},
		{Code: "AR-SINK-FLAW", Title: "A sink is not as configured", Severity: Warn, Find: findFlaw},
		{Code: "AR-SINK-ACTION", Title: "A sink does not say when it loses records", Severity: Warn, Find: findSinkAction},
		{Code: "AR-SPOOL-FULL", Title: "A spool is nearly full", Severity: Critical, Find: findSpoolFull},
		{Code: "AR-SPOOL-SHORT", Title: "A spool does not last long", Severity: Warn, After: 5 * time.Minute, DependsOn: []string{"AR-SPOOL-FULL"}, Find: findSpoolShort},
		{Code: "AR-SPOOL-DISK", Title: "The disk of the spools has no room for them", Severity: Warn, Find: findSpoolDisk},
		{Code: "AR-CERT-EXPIRED", Title: "A certificate has expired", Severity: Critical, Find: findExpired},
		{Code: "AR-CERT-EXPIRES", Title: "A certificate will expire soon", Severity: Warn, Find: findExpires},
		{Code: "AR-CERT-FILE", Title: "A file of certificates cannot be used", Severity: Critical, DependsOn: []string{"AR-CONFIG"}, Find: findCertFile},
	}
}

// eachSink collects what is found about the sinks that run.
func (f *Facts) eachSink(find func(c *consumer.Report) (Finding, bool)) (found []Finding) {
	r := f.report()
	if r == nil {
		return nil
	}
	for i := range r.Consumers {
		if finding, ok := find(&r.Consumers[i]); ok {
			finding.Subject = r.Consumers[i].Name
			found = append(found, finding)
		}
	}
	return found
}

func findSinkDown(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		return Finding{
			Text:     fmt.Sprintf("sink %s (%s) has not delivered since %s: %s", c.Name, c.Type, c.Sink.Since.Local().Format(time.DateTime), cmp.Or(c.Sink.Error, "none")),
			Evidence: fmt.Sprintf("status: %s state = degraded, %d failures; %d records wait, %d of them on disk", c.Name, c.Sink.Failures, c.Queued, c.Spooled),
			Fix:      "see which step fails: audisp-relay doctor --sink " + quote(c.Name),
		}, c.Sink.Degraded && !c.Stopped // which says why
	})
}

func findSinkSuspended(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		fix := fmt.Sprintf("kill -USR2 %d", f.report().Pid)
		if c.Stopped {
			return Finding{
				Text:     fmt.Sprintf("sink %s did not reach its server, and its network_failure_action = suspend: its records wait until it is started again", c.Name),
				Evidence: fmt.Sprintf("status: %s state = stopped; %d records wait, %d of them on disk; last error: %s", c.Name, c.Queued, c.Spooled, cmp.Or(c.Sink.Error, "none")),
				Fix:      fix,
			}, true
		}
		return Finding{
			Text:     fmt.Sprintf("the queue of sink %s or a disk was full, and the action = suspend: all of its records are lost until it is resumed", c.Name),
			Evidence: fmt.Sprintf("status: %s state = suspended; lost %d", c.Name, c.LostTotal),
			Fix:      fix,
		}, c.Suspended
	})
}

func findSinkLate(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		wait := f.Now.Sub(c.Oldest)
		late := !c.Oldest.IsZero() && c.Queued > 0 && wait > f.Limits.Delay
		return Finding{
			Text: fmt.Sprintf("sink %s takes records more slowly than they come: the oldest one has waited %s", c.Name, span(wait)),
			Evidence: fmt.Sprintf("status: %s queued %d, oldest of %s; %.0f records/s come, %.0f are delivered",
				c.Name, c.Queued, c.Oldest.Local().Format(time.DateTime), c.RateIn, c.RateOut),
			Fix: fmt.Sprintf("give [sinks.%s] a filter, or its place more speed; see audisp-relay doctor --sink %s", c.Name, quote(c.Name)),
		}, late
	})
}

func findNoClient(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		peers, ok := c.Sink.Details.(interface{ Processes() []int })
		cfg, known := f.Outputs[c.Name]
		waits := ok && known && cfg.WhenIdle != "" && cfg.WhenIdle != "discard" && len(peers.Processes()) == 0
		return Finding{
			Text:     fmt.Sprintf("nothing is connected to the socket of sink %s, which keeps records for the next client", c.Name),
			Evidence: fmt.Sprintf("status: %s has no client; %d records wait, %d of them on disk; %s: when_idle = %q", c.Name, c.Queued, c.Spooled, cfg.Origin, cfg.WhenIdle),
			Fix:      fmt.Sprintf("start what reads from %s, or set when_idle = \"discard\"", quote(cfg.Output)),
		}, waits && c.Queued > 0
	})
}

func findSinkLost(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		text, n := f.lostText(c, func(cause string) bool { return !queue.BeforeRelay(cause) })
		return Finding{
			Text:     fmt.Sprintf("sink %s has lost %d records, some of them within %s", c.Name, n, span(f.Limits.LostWithin)),
			Evidence: "status: " + text,
			Fix:      fmt.Sprintf("give [sinks.%s] a larger spool or q_bytes, or a filter; correct what it reports: %s", c.Name, cmp.Or(c.Sink.Error, "none")),
		}, text != ""
	})
}

func findFlaw(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		return Finding{
			Text: fmt.Sprintf("sink %s delivers, but not as configured: %s", c.Name, c.Sink.Flaw), Evidence: "status: " + c.Name + " flaw",
			Fix: "audisp-relay check " + quote(f.configFile()),
		}, c.Sink.Flaw != ""
	})
}

func findSinkAction(f *Facts) (found []Finding) {
	for _, name := range slices.Sorted(maps.Keys(f.Outputs)) {
		if s := f.Outputs[name]; s.OverflowAction == "ignore" {
			found = append(found, Finding{
				Subject: name, Text: fmt.Sprintf("when the queue of sink %s is full, it loses records without a message", name),
				Evidence: s.Origin + ": overflow_action = \"ignore\"", Fix: fmt.Sprintf("set overflow_action = \"syslog\" for [sinks.%s]", name),
			})
		}
	}
	return found
}

// almostFull is the percentage of a spool from which on it is critical.
const almostFull = 95

func findSpoolFull(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		limit := c.SpoolMax
		if limit == 0 || (!c.SpoolHigh && c.SpoolSize*100 < limit*int64(f.Limits.SpoolUse)) {
			return Finding{}, false
		}
		severity := Warn
		if c.SpoolSize*100 >= limit*almostFull {
			severity = Critical
		}
		return Finding{
			Severity: severity,
			Text:     fmt.Sprintf("the spool of sink %s holds %s of %s: when it is full, records are lost", c.Name, size(c.SpoolSize), size(limit)),
			Evidence: fmt.Sprintf("status: %s spooled %d records, %d bytes; last error: %s", c.Name, c.Spooled, c.SpoolSize, cmp.Or(c.Sink.Error, "none")),
			Fix:      "let the sink deliver: audisp-relay doctor --sink " + quote(c.Name) + "; or give its spool a larger max_size",
		}, true
	})
}

// findSpoolShort says how long a spool lasts at the present rate. A socket that discards what
// no client reads needs none, and a file has no outage but that of the disk.
func findSpoolShort(f *Facts) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		cfg, known := f.Outputs[c.Name]
		rate := kept(c)
		if !known || c.SpoolMax == 0 || rate < 1 || f.settling() || cfg.WhenIdle == "discard" || cfg.Files > 0 {
			return Finding{}, false
		}
		const most = float64(100 * 365 * 24 * time.Hour) // a Duration cannot count for much longer
		lasts := time.Duration(min(float64(c.SpoolMax)/(rate*f.perRecord())*float64(time.Second), most))
		return Finding{
			Text:     fmt.Sprintf("at the present rate the spool of sink %s lasts %s: a longer outage of its place costs records", c.Name, span(lasts)),
			Evidence: fmt.Sprintf("max_size = %q; %.0f records/s of %.0f bytes in the last five minutes", config.Size(c.SpoolMax), rate, f.perRecord()),
			Fix: fmt.Sprintf("set max_size of [sinks.%s.spool] to %q", c.Name,
				config.Size(float64(c.SpoolMax)*float64(f.Limits.Spool)/float64(max(lasts, time.Second)))>>20<<20+(1<<20)),
		}, lasts < f.Limits.Spool
	})
}

// kept is how many records a second came for a sink in the last five minutes that its filter does not
// leave out, by the share that it has left out so far.
func kept(c *consumer.Report) float64 {
	if c.Received == 0 {
		return c.LongRateIn
	}
	return c.LongRateIn * float64(c.Received-min(c.Filtered, c.Received)) / float64(c.Received)
}

func findSpoolDisk(f *Facts) []Finding {
	d, c := f.StateDisk.Value, f.Config.Value
	if !f.StateDisk.Known() || c == nil || d.Size == 0 {
		return nil
	}
	used := make(map[string]int64)
	if r := f.report(); r != nil {
		for i := range r.Consumers {
			used[r.Consumers[i].Name] = r.Consumers[i].SpoolSize
		}
	}

	var may int64 // that spools may still take
	for _, s := range c.Sinks {
		may += max(0, int64(s.Spool.MaxSize)-used[s.Name])
	}

	keep := d.Size / 100 * int64(f.Limits.DiskFree)
	if may == 0 || d.Avail-may >= keep {
		return nil
	}
	return one(Finding{
		Text:     fmt.Sprintf("the spools may take another %s of a disk with %s free, so that they, or what else is on it, run out of room", size(may), size(d.Avail)),
		Evidence: fmt.Sprintf("statfs %s: %s of %s free; %d sinks with spools; %d %% have to be free", d.Path, size(d.Avail), size(d.Size), len(c.Sinks), f.Limits.DiskFree),
		Fix:      "make room: df -h " + quote(d.Path) + "; or lower max_size in [spool] of " + quote(f.configFile()),
	})
}

// findState: a full disk has a finding of its own where there are to be spools on it.
func findState(f *Facts) []Finding {
	r := f.report()
	full := r != nil && strings.Contains(r.StateFault, syscall.ENOSPC.Error())
	if r == nil || r.StateFault == "" || (full && len(findSpoolDisk(f)) > 0) {
		return nil
	}
	dir := config.DefaultStateDir
	if f.Config.Value != nil {
		dir = f.Config.Value.StateDir
	}
	fix := fmt.Sprintf("correct that; see ls -la %s: the relay tries it again each second, but for the spool of one sink: that takes %s", quote(dir), f.restart())
	if full {
		fix = "make room: df -h " + quote(dir)
	}
	return one(Finding{
		Subject:  "state_dir",
		Text:     "the relay cannot keep in state_dir what it needs after a restart, or what memory does not hold: a restart repeats or misses records, and an outage of a sink loses some",
		Evidence: "status: state_dir fault = " + r.StateFault, Fix: fix,
	})
}

// expiry is the certificate of a file that counts: the relay's own is the first one, of authorities
// the last to expire, since any of them may do.
func (c *CertFile) expiry() Cert {
	if c.Own {
		return c.Certs[0]
	}
	return slices.MaxFunc(c.Certs, func(a, b Cert) int { return a.NotAfter.Compare(b.NotAfter) })
}

// user says who uses the file, as a text and as the subject of a finding, and what does not work without it.
func (c *CertFile) user() (text, subject, without string) {
	if c.Sink == "" {
		return "[metrics]", "[metrics]", "metrics cannot be read by TLS"
	}
	return "sink " + c.Sink, c.Sink, "it cannot connect"
}

// certFinding is a finding about a file of certificates. Without the one of metrics no record is lost.
func (f *Facts) certFinding(c *CertFile, finding Finding, fix string) Finding {
	if _, finding.Subject, _ = c.user(); c.Sink == "" {
		finding.Severity, finding.Fix = Warn, fix // it is read at each connection
		return finding
	}
	finding.Fix = fix + ", then " + f.hup()
	return finding
}

// certs collects what is found about certificates that expire within a time. text is given the date, the time until then or
// since, and what does not work without the certificate.
func (f *Facts) certs(from, to time.Duration, text string) (found []Finding) {
	for i := range f.Certs {
		file := &f.Certs[i]
		if file.Err != nil || len(file.Certs) == 0 {
			continue
		}
		c := file.expiry()
		left := c.NotAfter.Sub(f.Now)
		if left < from || left >= to {
			continue
		}
		user, _, without := file.user()
		found = append(found, f.certFinding(file, Finding{
			Text:     fmt.Sprintf("%s (%s) of %s ", file.Path, c.Subject, user) + fmt.Sprintf(text, c.NotAfter.UTC().Format(time.DateOnly), span(left.Abs()), without),
			Evidence: fmt.Sprintf("%s: not after %s", file.Path, c.NotAfter.UTC().Format(time.RFC3339)),
		}, "put a new certificate into "+quote(file.Path)))
	}
	return found
}

// hup is the command that makes the relay open its files and connections again.
func (f *Facts) hup() string {
	if r := f.report(); r != nil {
		return fmt.Sprintf("kill -HUP %d", r.Pid)
	}
	return f.reload()
}

// findExpired looks at the files, and at the connections of sinks that deliver: TLS asks for the time at its beginning only, so
// that a connection outlives its certificates.
func findExpired(f *Facts) []Finding {
	found := f.certs(-1<<63, 0, "has expired on %s, %s ago: %s")
	const text = "the certificate of the server of sink %s, or of its authority, has expired on %s, %s ago: the connection works until it ends, and no other can be made"
	for _, finding := range f.connectionCerts(found, -1<<63, 0, text) {
		if c := f.report().Consumer(finding.Subject); !c.Sink.Degraded { // else its error says why, and the last connection need not be the reason
			finding.Severity = Warn
			found = append(found, finding)
		}
	}
	return found
}

// findExpires looks at the files, and at the connections of the sinks: there are the certificates
// of the server, too.
func findExpires(f *Facts) []Finding {
	found := f.certs(0, f.Limits.Certificate, "expires on %s, in %s: then %s")
	return append(found, f.connectionCerts(found, 0, f.Limits.Certificate, "the certificate of the server of sink %s, or of its authority, expires on %s, in %s")...)
}

// connectionCerts collects what is found about the certificates of the last connections of sinks that expire within a time. text is
// given the sink, the date, and the time until then or since. What files have explains a connection.
func (f *Facts) connectionCerts(files []Finding, from, to time.Duration, text string) []Finding {
	return f.eachSink(func(c *consumer.Report) (Finding, bool) {
		connection, ok := c.Sink.Details.(sinks.Connection)
		if !ok || slices.ContainsFunc(files, func(other Finding) bool { return other.Subject == c.Name }) {
			return Finding{}, false
		}
		end := connection.CertificateEnd()
		left := end.Sub(f.Now)
		return Finding{
			Text:     fmt.Sprintf(text, c.Name, end.UTC().Format(time.DateOnly), span(left.Abs())),
			Evidence: fmt.Sprintf("status: %s certificate_expires %s", c.Name, end.UTC().Format(time.RFC3339)),
			Fix:      fmt.Sprintf("see which: audisp-relay doctor --sink %s; let the server have a new one, and once that command passes %s", quote(c.Name), f.hup()),
		}, !end.IsZero() && left >= from && left < to
	})
}

func findCertFile(f *Facts) (found []Finding) {
	for i := range f.Certs {
		file := &f.Certs[i]
		if file.Err == nil {
			continue
		}
		user, _, without := file.user()
		found = append(found, f.certFinding(file, Finding{
			Text: fmt.Sprintf("%s cannot use %s, so that %s", user, file.Path, without), Evidence: file.Err.Error(),
		}, "put a certificate in PEM form there: "+quote(file.Path)))
	}
	return found
}

// network is where a sink sends to, "" for one that stays on this machine.
func network(s config.Sink) (network, address string) {
	if server, ok := s.Settings.(interface {
		Server() (network, address string)
	}); ok {
		return server.Server()
	}
	return "", ""
}

func isRemote(s config.Sink) bool {
	proto, _ := network(s)
	return strings.HasPrefix(proto, "tcp") || strings.HasPrefix(proto, "udp")
}
