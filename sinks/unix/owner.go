package unix

import (
	"errors"
	"fmt"

	"audisp-relay/config"
)

// owner returns the ids of the configured owner and group. A name that does not
// exist gives 0 and an error.
func owner(cfg *Config) (uid, gid int, err error) {
	u, uerr := config.FindUser(cfg.Owner)
	if uerr != nil {
		uerr = fmt.Errorf("owner %q of socket %s: %w: root owns it until the user exists and SIGHUP comes", cfg.Owner, cfg.Path, uerr)
	}
	g, gerr := config.FindGroup(cfg.Group)
	if gerr != nil {
		gerr = fmt.Errorf("group %q of socket %s: %w: it has group root until the group exists (groupadd --system %s) and SIGHUP comes",
			cfg.Group, cfg.Path, gerr, cfg.Group)
	}
	return int(u), int(g), errors.Join(uerr, gerr)
}
