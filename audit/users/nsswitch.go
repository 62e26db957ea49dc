package users

import (
	"bytes"
	"slices"
	"strings"
)

// inFiles are the sources of names that are files of the host, or that make up names only for what runs
// here: nss-systemd(8) knows services with DynamicUser=, nss-compat the files.
var inFiles = []string{"files", "compat", "systemd"}

// Elsewhere returns the first source of users or groups, as "sss" or "ldap", that is more than this host's
// own files (nsswitch.conf(5)), "" where there is none.
func Elsewhere() string {
	text, _, err := readRegular("/etc/nsswitch.conf")
	if err != nil {
		return "" // glibc takes the files then
	}
	return elsewhere(text)
}

func elsewhere(text []byte) string {
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte{'#'})
		database, sources, ok := strings.Cut(string(line), ":")
		if name := strings.TrimSpace(database); !ok || (name != "passwd" && name != "group") {
			continue
		}
		for _, source := range strings.Fields(withoutActions(sources)) {
			if !slices.Contains(inFiles, source) {
				return source
			}
		}
	}
	return ""
}

// withoutActions takes out what stands in brackets, as [NOTFOUND=return].
func withoutActions(sources string) string {
	var b strings.Builder
	for sources != "" {
		before, rest, _ := strings.Cut(sources, "[")
		b.WriteString(before)
		b.WriteByte(' ')
		_, sources, _ = strings.Cut(rest, "]")
	}
	return b.String()
}
