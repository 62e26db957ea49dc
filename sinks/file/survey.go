package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// Survey implements config.Settings. It goes the way to the file as the sink does, and opens nothing that is not a directory.
func (c *Config) Survey(s *config.Surveyor) {
	s.Owners(c.Owner, c.Group)
	dir := filepath.Dir(c.Path)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) && dir == defaultDir { // which the sink makes
		s.Directory("path", filepath.Dir(dir), "records wait until it is")
		return
	}
	s.Directory("path", dir, "records wait until it is")
	s.Only("path", c.Path, 0)

	err := c.look(s)
	if unsafe, ok := errors.AsType[*insecure](err); ok { // what else there may be was said above
		s.Errorf("path", "%s: %v", c.Path, unsafe)
	}
}

// look says why the sink would refuse what is there now.
func (c *Config) look(s *config.Surveyor) error {
	g := guardOf(c)
	g.reserve(s.Reserved())
	dir, err := osFS{}.OpenDir(filepath.Dir(c.Path), g)
	if err != nil {
		return err
	}
	defer dir.Close()
	p, name := dir.Place(), filepath.Base(c.Path)
	if of, taken := named(s.Reserved(), p.id, name); taken {
		return refuse("it is of the files of %s: name another path", of)
	}
	if len(p.shut) > 0 && c.Mode&0o040 != 0 {
		s.Warnf("path", "the file's group cannot reach it, as it may not pass a directory above: run chgrp %s %s && chmod g+x %s", c.Group, p.shut[0], p.shut[0])
	}
	st, err := dir.Lstat(name)
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	return g.judgeFile(&st, p)
}
