package syslog

import (
	"fmt"
	"strings"
)

// The numbers of RFC 5424 section 6.2.1, which are those of syslog(3).
var (
	facilities = map[string]int{
		"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "security": 4, "syslog": 5, "lpr": 6, "news": 7,
		"uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
		"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
	}
	severities = map[string]int{
		"emerg": 0, "panic": 0, "alert": 1, "crit": 2, "err": 3, "error": 3, "warning": 4, "warn": 4,
		"notice": 5, "info": 6, "debug": 7,
	}
)

// ParsePriority returns the PRI value, facility*8 + severity, of two names as
// syslog.conf(5) has them: "user", "local0", "info", "err". Upper case and a
// LOG_ in front (as in the confs of audisp-syslog) are accepted. The error
// says which name is wrong and what is allowed.
func ParsePriority(facility, severity string) (int, error) {
	f, ok := facilities[plainName(facility)]
	if !ok {
		return 0, fmt.Errorf("facility %q is not known: use kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp or local0 to local7", facility)
	}
	s, ok := severities[plainName(severity)]
	if !ok {
		return 0, fmt.Errorf("severity %q is not known: use emerg, alert, crit, err, warning, notice, info or debug", severity)
	}
	return f<<3 | s, nil
}

func plainName(s string) string {
	return strings.TrimPrefix(strings.ToLower(s), "log_")
}
