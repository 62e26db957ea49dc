package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"audisp-relay/host/broker"
	"audisp-relay/host/runnable"
	"audisp-relay/host/trusted"
)

// Survey compares a configuration with the machine. Errors are what keeps a sink from
// delivering until it is corrected: what stands in the way, or must not be used. Warnings
// are what is missing and may come by itself, with a package, a mount or a network: the
// sink takes it then. It opens nothing but regular files and connects to nothing.
func Survey(c *Config) (warns []string, err error) {
	s := new(Surveyor)
	s.globals(c)
	for i := range c.Sinks {
		sink := &c.Sinks[i]
		s.at, s.reserved = placeOf(sink.Origin, "sinks."+sink.Name+"."), sink.Reserved
		if sink.Settings != nil {
			sink.Settings.Survey(s)
		}
		s.failures(sink)
	}
	return s.warns, s.errs.sorted()
}

// Surveyor looks at the machine for the keys of one table after the other.
type Surveyor struct {
	at    Error // where the table is; Key is what stands in front of its keys
	errs  Errors
	warns []string
	alone bool // without a sandbox there is no worker

	reserved []Reserved // of the sink
}

// Reserved returns what a file of the sink must not be, by whatever name.
func (s *Surveyor) Reserved() []Reserved { return s.reserved }

// placeOf splits an origin.
func placeOf(origin, prefix string) Error {
	if i := strings.LastIndexByte(origin, ':'); i >= 0 {
		if line, err := strconv.Atoi(origin[i+1:]); err == nil {
			return Error{File: origin[:i], Line: line, Key: prefix}
		}
	}
	return Error{File: origin, Key: prefix}
}

// place returns what there is to say of a key.
func (s *Surveyor) place(key, format string, args []any) *Error {
	e := s.at
	e.Key += key
	e.Msg = fmt.Sprintf(format, args...)
	return &e
}

// Errorf reports what keeps a sink from delivering.
func (s *Surveyor) Errorf(key, format string, args ...any) {
	s.errs = append(s.errs, s.place(key, format, args))
}

// Warnf reports what may come by itself.
func (s *Surveyor) Warnf(key, format string, args ...any) {
	s.warns = append(s.warns, s.place(key, format, args).Error())
}

func (s *Surveyor) globals(c *Config) {
	s.at = Error{File: cmp.Or(c.File, BuiltIn)}
	s.alone = c.Sandbox == "off"
	if filepath.IsAbs(c.Log.Output) {
		s.Directory("log.output", filepath.Dir(c.Log.Output), "log lines go to syslog until it is")
		s.Only("log.output", c.Log.Output, fs.ModeCharDevice)
		s.oneName("log.output", c.Log.Output)
		for _, r := range c.Log.Reserved {
			if r.Is(c.Log.Output) {
				s.Errorf("log.output", "%s leads to a file of %s, must be elsewhere", c.Log.Output, r.Of)
				break
			}
		}
	}

	s.Directory("run_dir", filepath.Dir(c.RunDir), "status does not work until it is")
	if err := CheckRunDir(c.RunDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("run_dir", "%v", err)
	}
	s.OwnDir("state_dir", c.StateDir)
	s.metrics(&c.Metrics)
	if log := c.Recovery.LogFile; c.Recovery.Enabled && log != "" {
		s.Present("recovery.log_file", log, "nothing can be recovered until it is")
		s.Only("recovery.log_file", log, 0)
	}
}

// Owners looks for the accounts of a file or socket.
func (s *Surveyor) Owners(owner, group string) {
	if _, err := FindUser(owner); err != nil && owner != "" {
		s.Warnf("owner", "there is no user %q: root is the owner until there is", owner)
	}
	if _, err := FindGroup(group); err != nil && group != "" {
		s.Warnf("group", "there is no group %q: it is root's until there is", group)
	}
}

// Present reports whether there is something at path, and warns if there is not.
func (s *Surveyor) Present(key, path, then string) bool {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Warnf(key, "%s is not there: %s", path, then)
	case err != nil:
		s.Errorf(key, "%v", err)
	}
	return err == nil
}

// Directory is Present for a directory.
func (s *Surveyor) Directory(key, dir, then string) {
	if s.Present(key, dir, then+" (mkdir "+dir+")") {
		s.IsDir(key, dir)
	}
}

// IsDir says what stands in the place of a directory.
func (s *Surveyor) IsDir(key, dir string) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		s.Errorf(key, "%s is no directory: remove it, or name another path", dir)
	}
}

// OwnDir says what stands in the place of a directory in which the relay alone makes files, or who else could. The worker may write
// beneath the one above it, so as to make it again when it was removed.
func (s *Surveyor) OwnDir(key, dir string) {
	info, err := os.Stat(dir)
	switch {
	case err != nil: // it is made
	case !info.IsDir():
		s.IsDir(key, dir)
	case !runnable.Trusted(info) && !broker.IsWorker(int(runnable.OwnerOf(info))):
		s.Errorf(key, "%s is owned by uid %d, who could change what is in it: run chown root %s", dir, runnable.OwnerOf(info), dir)
	case info.Mode().Perm()&0o022 != 0:
		s.Errorf(key, "%s has mode %04o, others must not write it: run chmod go-w %s", dir, info.Mode().Perm(), dir)
	}

	if !s.alone && dir != "" && filepath.Dir(dir) == "/" {
		s.Warnf(key, "%s is directly below /: the sandbox lets the worker write everywhere then where its user may; name a directory below another, as %s is", dir, DefaultStateDir)
	}
}

// Only reports an error if path is something else than a regular file, or than one of the types. Like whatever opens
// the path later, it does not follow a link there.
func (s *Surveyor) Only(key, path string, types fs.FileMode) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		s.Errorf(key, "%s is in the way: it is a symbolic link, which is not followed; remove it, or name another path", path)
		return
	}
	s.only(key, path, info, err, types)
}

// Leads is Only for a path that may be a link.
func (s *Surveyor) Leads(key, path string, types fs.FileMode) {
	info, err := os.Stat(path)
	s.only(key, path, info, err, types)
}

func (s *Surveyor) only(key, path string, info fs.FileInfo, err error, types fs.FileMode) {
	if err != nil || info.Mode()&types != 0 || (info.Mode().IsRegular() && types&fs.ModeSocket == 0) {
		return
	}
	want := "regular file"
	if types&fs.ModeSocket != 0 {
		want = "socket"
	}
	s.Errorf(key, "%s is in the way: it is no %s; remove it, or name another path", path, want)
}

// oneName reports a file that has further names (hard links): it may be any file of the system.
func (s *Surveyor) oneName(key, path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		s.Errorf(key, "%s has %d names (hard links), so it may be another file, too: move it away", path, st.Nlink)
	}
}

// KeyPair looks for a certificate and its key.
func (s *Surveyor) KeyPair(certKey, cert, keyKey, key, then string) {
	isCert, isKey := s.Present(certKey, cert, then), s.Present(keyKey, key, then)
	if !isCert || !isKey {
		return
	}
	keyPEM, err := ReadKeyFile(key)
	if err != nil {
		s.Errorf(keyKey, "%v", err)
		return
	}
	certPEM, err := ReadRegular(cert)
	if err == nil {
		_, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		s.Errorf(certKey, "%s, %s: %v", cert, key, err)
	}
}

// ReadRegular reads a regular file of at most a MiB, without waiting for a FIFO.
func ReadRegular(path string) ([]byte, error) {
	data, _, err := trusted.ReadChecked(path, maxConfigSize, nil)
	return data, err
}

// ReadKeyFile reads a private key. As PostgreSQL does with its own, it refuses one that
// others than its owner could read: one of root's may be readable by its group, where
// systems keep keys for daemons; one of the user's own by no other user.
func ReadKeyFile(path string) ([]byte, error) {
	data, _, err := trusted.ReadChecked(path, maxConfigSize, func(info fs.FileInfo) error { return privateKey(path, info) })
	return data, err
}

func privateKey(path string, info fs.FileInfo) error {
	perm, uid := info.Mode().Perm(), runnable.OwnerOf(info)
	switch {
	case !runnable.Trusted(info):
		return fmt.Errorf("%s is owned by uid %d, who knows the key: run chown root %s, chmod 0600 %s", path, uid, path, path)
	case uid == 0 && perm&0o027 != 0, uid != 0 && perm&0o077 != 0:
		return fmt.Errorf("%s has mode %04o, others could use the key: run chmod 0600 %s", path, perm, path)
	}
	return nil
}
