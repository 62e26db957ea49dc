package runnable

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// Account is a user that a program runs as.
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
	var numbers []uint32
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		numbers = append(numbers, uint32(n))
	}

	a := &Account{UID: numbers[0], GID: numbers[1], Groups: numbers[2:]}
	slices.Sort(a.Groups)
	if euid := os.Geteuid(); euid != 0 && a.UID != uint32(euid) {
		return nil, fmt.Errorf("only root can run a program as user %s, this is uid %d: leave user out", name, euid)
	}
	return a, nil
}
