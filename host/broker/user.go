package broker

import (
	"fmt"
	"os/user"
	"strconv"
	"sync"
	"time"
)

// User is the system user that the worker runs as. Only the build of a test changes it (-ldflags -X).
var User = "audisp-relay"

// MakeUser returns the command that makes it.
func MakeUser() string {
	return "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin " + User
}

// account is what was found of User.
var account struct {
	sync.Mutex
	name     string
	uid, gid int
	err      error
	until    time.Time // when it is looked up again
}

// Account returns the worker's user and its group. The error says how to make the user. It may be called from any goroutine.
func Account() (uid, gid int, err error) {
	account.Lock()
	defer account.Unlock()
	if now := time.Now(); now.After(account.until) || account.name != User {
		account.uid, account.gid, account.err = lookUp(User)
		account.name, account.until = User, now.Add(time.Second)
	}
	return account.uid, account.gid, account.err
}

func lookUp(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("there is no user %s: %s", name, MakeUser())
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && (uid <= 0 || gid <= 0) {
		err = fmt.Errorf("user %s has uid %d and group %d: they must be its own", name, uid, gid)
	}
	return uid, gid, err
}

// IsWorker reports whether uid is that of the worker.
func IsWorker(uid int) bool {
	worker, _, err := Account()
	return err == nil && uid == worker
}
