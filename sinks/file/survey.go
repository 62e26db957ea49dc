package file

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// Survey implements config.Settings.
func (c *Config) Survey(s *config.Surveyor) {
	s.Owners(c.Owner, c.Group)
	dir := filepath.Dir(c.Path)
	if dir == defaultDir { // which the sink makes
		dir = filepath.Dir(dir)
	}
	s.Directory("path", dir, "records wait until it is")
	s.Only("path", c.Path, 0)
	if why, ok := errors.AsType[*insecure](c.refusal(osFS{}, s.Reserved())); ok {
		s.Errorf("path", "%s is not written: %v", c.Path, why)
	}
}

// refusal says why the sink would not open its file as things are; other errors, of what is missing for one, are nothing that it
// refuses.
func (c *Config) refusal(fs fileSystem, reserved []config.Reserved) error {
	g := guardOf(c)
	g.reserve(reserved)
	dir, err := fs.OpenDir(filepath.Dir(c.Path), g)
	if err != nil {
		return err
	}
	defer dir.Close()
	if of, taken := named(reserved, dir.Place().id, c); taken {
		return refuse("it is of the files of %s: name another path", of)
	}
	st, err := dir.Lstat(filepath.Base(c.Path))
	switch {
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return refuse("it is a symbolic link: name the file itself")
	}
	return g.judgeFile(&st, dir.Place())
}
