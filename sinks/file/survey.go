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
	if why, ok := errors.AsType[*insecure](c.refusal(s)); ok {
		s.Errorf("path", "%s is not written: %v", c.Path, why)
	}
}

// refusal says why the sink would refuse to open its file as things are. Other errors it returns, such as of a missing
// directory, are no refusals.
func (c *Config) refusal(s *config.Surveyor) error {
	g := guardOf(c)
	g.reserve(s.Reserved())
	dir, err := osFS{}.OpenDir(filepath.Dir(c.Path), g)
	if err != nil {
		return err
	}
	defer dir.Close()

	p := dir.Place()
	if of, taken := named(s.Reserved(), p.id, c); taken {
		return refuse("it is of the files of %s: name another path", of)
	}
	if len(p.shut) > 0 && c.Mode&0o040 != 0 {
		s.Warnf("path", "the file's group cannot reach it, as it may not pass a directory above: run chgrp %s %s && chmod g+x %s", c.Group, p.shut[0], p.shut[0])
	}
	st, err := dir.Lstat(filepath.Base(c.Path))
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK { // Only has said so
		return err
	}
	return g.judgeFile(&st, p)
}
