package unix

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// owner returns the ids of the configured owner and group. A name that does not
// exist gives 0 and an error.
func owner(cfg *Config) (uid, gid int, err error) {
	uid, uerr := lookUp(cfg.Owner, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("owner %q of socket %s: %w: root owns it until the user exists and SIGHUP comes", name, cfg.Path, err)
		}
		return u.Uid, nil
	})
	gid, gerr := lookUp(cfg.Group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", fmt.Errorf("group %q of socket %s: %w: it has group root until the group exists (groupadd --system %s) and SIGHUP comes",
				name, cfg.Path, err, name)
		}
		return g.Gid, nil
	})
	return uid, gid, errors.Join(uerr, gerr)
}

func lookUp(name string, find func(string) (string, error)) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	text, err := find(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}
