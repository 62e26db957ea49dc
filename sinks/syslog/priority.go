package syslog

import "slices"

// The names in the order of their numbers (RFC 5424 section 6.2.1), which are those of
// syslog(3).
var (
	facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// priority returns the PRI value of two of these names, facility*8 + severity.
func priority(facility, severity string) int {
	n := slices.Index(facilities, facility)
	if n > 11 {
		n += 4 // 12 to 15 have no name that all systems know
	}
	return n<<3 | slices.Index(severities, severity)
}
