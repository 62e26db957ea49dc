package file

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"audisp-relay/config"
)

// fileID is what a file is, whatever its names.
type fileID struct {
	dev, ino uint64
}

func idOf(st *unix.Stat_t) fileID { return fileID{uint64(st.Dev), st.Ino} }

// foreign is a file or directory that belongs to something else.
type foreign struct {
	id fileID
	of string
}

func find(list []foreign, id fileID) (of string, found bool) {
	for _, f := range list {
		if f.id == id {
			return f.of, true
		}
	}
	return "", false
}

// reserve notes what the file must not be, as it is now: a symbolic link on the way or
// a bind mount gives it other names than those that the configuration was checked for.
func (g *guard) reserve(list []config.Reserved) {
	g.dirs, g.logs = nil, nil
	for _, r := range list {
		if r.Dir {
			g.dirs = addForeign(g.dirs, r.Path, r.Of)
			continue
		}
		g.logs = addForeign(g.logs, r.Path, r.Of)
		dir, err := os.Open(filepath.Dir(r.Path))
		if err != nil {
			continue // no rotations
		}
		for _, name := range rotationsIn(dir, filepath.Base(r.Path)) {
			if name != filepath.Base(r.Path) {
				g.logs = addForeign(g.logs, filepath.Join(filepath.Dir(r.Path), name), r.Of)
			}
		}
		dir.Close()
	}
}

func addForeign(list []foreign, path, of string) []foreign {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return list // there is none
	}
	return append(list, foreign{idOf(&st), of})
}

// named says to what a file will belong that is made in the directory id under the name of cfg's file, or under that
// of a rotated one: a log of that name may not exist at the moment.
func named(list []config.Reserved, id fileID, cfg *Config) (of string, taken bool) {
	name := filepath.Base(cfg.Path)
	for _, r := range list {
		var st unix.Stat_t
		log := filepath.Base(r.Path)
		if r.Dir || !(config.IsRotation(name, log) || config.RotatesTo(name, cfg.files(), log)) || unix.Stat(filepath.Dir(r.Path), &st) != nil {
			continue
		}
		if idOf(&st) == id {
			return r.Of, true
		}
	}
	return "", false
}
