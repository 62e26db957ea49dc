package runnable

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// Account is a user as whom a program runs.
type Account struct {
	UID, GID uint32
	Groups   []uint32 // further ones, sorted
}

// LookUp returns the account of a name or number, with all its groups. The error
// says what to do, also where this process is not allowed to become that user.
func LookUp(name string) (*Account, error) {
	u, err := user.Lookup(name)
	if _, bad := strconv.ParseUint(name, 10, 32); bad == nil {
		u, err = user.LookupId(name)
	}
	switch {
	case errors.As(err, new(user.UnknownUserError)), errors.As(err, new(user.UnknownUserIdError)):
		return nil, fmt.Errorf("there is no user %s in /etc/passwd: useradd --system it, or name another one", name)
	case err != nil:
		return nil, fmt.Errorf("look up user %s: %w", name, err)
	}

	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up the groups of user %s: %w", name, err)
	}
	a := new(Account)
	if a.UID, err = number(u.Uid); err == nil {
		a.GID, err = number(u.Gid)
	}

	for _, id := range ids {
		var gid uint32
		if err == nil {
			gid, err = number(id)
		}
		a.Groups = append(a.Groups, gid)
	}
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}

	slices.Sort(a.Groups)
	if euid := os.Geteuid(); euid != 0 && a.UID != uint32(euid) {
		return nil, fmt.Errorf("only root can run a program as user %s, this is uid %d: leave user out", name, euid)
	}
	return a, nil
}

func number(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	return uint32(n), err
}
