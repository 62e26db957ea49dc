package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"audisp-relay/host/runnable"
)

// packagedDir is the one directory that a file sink makes itself.
const packagedDir = "/var/log/audisp-relay"

// Survey compares a configuration with the machine. Errors are what keeps a sink from
// delivering until somebody mends it: what stands in the way, or must not be used. Warnings
// are what is missing and may come by itself, with a package, a mount or a network: the
// sink takes it then. It opens nothing but regular files and connects to nobody.
func Survey(c *Config) (warns []string, err error) {
	s := &survey{}
	s.globals(c)
	for i := range c.Sinks {
		s.sink(&c.Sinks[i])
	}
	return s.warns, s.errs.sorted()
}

type survey struct {
	errs  Errors
	warns []string
}

// place is where a key stands.
type place struct {
	file string
	line int
	key  string
}

// placeOf splits an origin.
func placeOf(origin, key string) place {
	if i := strings.LastIndexByte(origin, ':'); i >= 0 {
		if line, err := strconv.Atoi(origin[i+1:]); err == nil {
			return place{origin[:i], line, key}
		}
	}
	return place{origin, 0, key}
}

func (s *survey) errorf(at place, format string, args ...any) {
	s.errs = append(s.errs, &Error{File: at.file, Line: at.line, Key: at.key, Msg: fmt.Sprintf(format, args...)})
}

func (s *survey) warnf(at place, format string, args ...any) {
	e := &Error{File: at.file, Line: at.line, Key: at.key, Msg: fmt.Sprintf(format, args...)}
	s.warns = append(s.warns, e.Error())
}

func (s *survey) globals(c *Config) {
	file := c.File
	if file == "" {
		file = BuiltIn
	}
	if filepath.IsAbs(c.Log.Output) {
		at := place{file, 0, "log.output"}
		s.directory(at, filepath.Dir(c.Log.Output), "what is to be said goes to syslog until it is")
		s.only(at, c.Log.Output, fs.ModeDevice|fs.ModeCharDevice)
	}
	s.directory(place{file, 0, "run_dir"}, filepath.Dir(c.RunDir), "status does not work until it is")
	s.isDir(place{file, 0, "run_dir"}, c.RunDir)
	s.isDir(place{file, 0, "state_dir"}, c.StateDir)
	if log := c.Recovery.LogFile; c.Recovery.Enabled && log != "" {
		at := place{file, 0, "recovery.log_file"}
		s.present(at, log, "nothing can be recovered until it is")
		s.only(at, log, 0)
	}
}

func (s *survey) sink(c *Sink) {
	at := func(key string) place { return placeOf(c.Origin, "sinks."+c.Name+"."+key) }
	switch {
	case c.Unix != nil:
		s.owners(at, c.Unix.Owner, c.Unix.Group)
		dir := filepath.Dir(c.Unix.Path) // which the sink makes, but not those above
		s.directory(at("path"), filepath.Dir(dir), "nobody can connect until it is")
		s.isDir(at("path"), dir)
		s.only(at("path"), c.Unix.Path, fs.ModeSocket)
	case c.File != nil:
		s.owners(at, c.File.Owner, c.File.Group)
		dir := filepath.Dir(c.File.Path)
		if dir == packagedDir {
			dir = filepath.Dir(dir)
		}
		s.directory(at("path"), dir, "records wait until it is")
		s.only(at("path"), c.File.Path, 0)
	case c.Syslog != nil:
		s.syslog(at, c.Syslog)
	case c.Program != nil:
		s.program(at, c.Program)
	}
}

// syslog looks at what a syslog sink needs on this host.
func (s *survey) syslog(at func(string) place, l *Syslog) {
	if l.Transport == "local" {
		s.present(at("address"), l.Address, "records wait until it is: start the syslog daemon")
		s.only(at("address"), l.Address, fs.ModeSocket)
		return
	}
	if l.CAFile != "" && s.present(at("ca_file"), l.CAFile, "records wait until it is") {
		if pem, err := ReadRegular(l.CAFile); err != nil {
			s.errorf(at("ca_file"), "%v", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			s.errorf(at("ca_file"), "%s holds no certificate: put the CA's certificate there, in PEM", l.CAFile)
		}
	}
	if l.CertFile == "" {
		return
	}
	cert := s.present(at("cert_file"), l.CertFile, "records wait until it is")
	key := s.present(at("key_file"), l.KeyFile, "records wait until it is")
	if !cert || !key {
		return
	}
	keyPEM, err := ReadKeyFile(l.KeyFile)
	if err != nil {
		s.errorf(at("key_file"), "%v", err)
		return
	}
	certPEM, err := ReadRegular(l.CertFile)
	if err == nil {
		_, err = tls.X509KeyPair(certPEM, keyPEM)
	}
	if err != nil {
		s.errorf(at("cert_file"), "%s, %s: %v", l.CertFile, l.KeyFile, err)
	}
}

func (s *survey) program(at func(string) place, p *Program) {
	if s.present(at("path"), p.Path, "records wait until it is: install it, or correct path") {
		if err := runnable.Check(p.Path); err != nil {
			s.errorf(at("path"), "%v", err)
		}
	}
	if p.User == "" {
		return
	}
	if _, err := runnable.LookUp(p.User); err != nil {
		s.errorf(at("user"), "%v", err)
	}
}

// owners looks for the accounts of a file or socket.
func (s *survey) owners(at func(string) place, owner, group string) {
	if !accountExists(owner, func(name string) error { _, err := user.Lookup(name); return err }) {
		s.warnf(at("owner"), "there is no user %q: root is the owner until there is", owner)
	}
	if !accountExists(group, func(name string) error { _, err := user.LookupGroup(name); return err }) {
		s.warnf(at("group"), "there is no group %q: it is root's until there is", group)
	}
}

// accountExists looks up a name; numbers need no account.
func accountExists(name string, find func(string) error) bool {
	_, err := strconv.ParseUint(name, 10, 32)
	return name == "" || err == nil || find(name) == nil
}

// present reports whether there is something at path, and warns where not.
func (s *survey) present(at place, path, then string) bool {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.warnf(at, "%s is not there: %s", path, then)
	case err != nil:
		s.errorf(at, "%v", err)
	}
	return err == nil
}

// directory is present for a directory.
func (s *survey) directory(at place, dir, then string) {
	if s.present(at, dir, then+" (mkdir "+dir+")") {
		s.isDir(at, dir)
	}
}

// isDir says what stands in the place of a directory.
func (s *survey) isDir(at place, dir string) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		s.errorf(at, "%s is no directory: remove it, or name another path", dir)
	}
}

// only says what else than a regular file, or what has one of the types, stands at path.
func (s *survey) only(at place, path string, types fs.FileMode) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&types != 0 || info.Mode().IsRegular() && types&fs.ModeSocket == 0 {
		return
	}
	want := "regular file"
	if types&fs.ModeSocket != 0 {
		want = "socket"
	}
	s.errorf(at, "%s is in the way: it is no %s; remove it, or name another path", path, want)
}

// ReadRegular reads a regular file of at most a MiB, without waiting for a FIFO.
func ReadRegular(path string) ([]byte, error) {
	data, _, err := readChecked(path, maxConfigSize, nil)
	return data, err
}

// ReadKeyFile reads a private key. As PostgreSQL does with its own, it refuses one that
// others than its owner could read: one of root's may be readable by its group, where
// systems keep keys for daemons; one of the user's own by nobody else.
func ReadKeyFile(path string) ([]byte, error) {
	data, _, err := readChecked(path, maxConfigSize, func(info fs.FileInfo) error { return privateKey(path, info) })
	return data, err
}

func privateKey(path string, info fs.FileInfo) error {
	perm, uid := info.Mode().Perm(), ownerOf(info)
	switch {
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("%s is owned by uid %d, who knows the key: run chown root %s, chmod 0600 %s", path, uid, path, path)
	case uid == 0 && perm&0o027 != 0, uid != 0 && perm&0o077 != 0:
		return fmt.Errorf("%s has mode %04o, others could use the key: run chmod 0600 %s", path, perm, path)
	}
	return nil
}

// advise returns a warning of how records go over the network, and the key that it is about.
func (l *Syslog) advise() (key, text string) {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return "", "" // a socket's path, or an error already
	}
	switch {
	case slices.Contains([]string{"tcp", "udp"}, l.Transport) && port == "6514":
		return "transport", `6514 is the port of syslog over TLS: if the server expects that, it is transport = "tls"`
	case l.Transport == "tls" && port == "514":
		return "transport", `514 is the port of syslog without TLS, 6514 that with it: is it transport = "tcp" or another port?`
	case isLoopback(host):
	case !l.TLS() && l.Transport == "relp":
		return "transport", `records go over the network in clear: relp uses TLS when ca_file, cert_file or server_name is set`
	case !l.TLS():
		return "transport", `records go over the network in clear: transport = "tls", or "relp" with ca_file, encrypts them`
	case l.CAFile == "":
		return "ca_file", `is not set: any CA that this host trusts can vouch for the server; name the one that signed its certificate`
	}
	return "", ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
