package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/sinks"
)

// trial is a sinks.Trial of this type of sink. It writes nothing: what stands in the file is the
// relay's alone.
type trial struct {
	*sinks.Trial
	w   *writer
	dir folder // that the file is in, nil until it was found
}

// try implements sinks.Kind.Try.
func try(ctx context.Context, t *sinks.Trial) {
	y := &trial{Trial: t, w: newWriter(t.Sink, format.Encoder{}, zap.NewNop(), osFS{})}
	y.w.guard.reserve(y.w.reserved)
	defer func() {
		if y.dir != nil && !t.Hung() {
			y.dir.Close()
		}
	}()
	if !t.Do(ctx, "directory", y.findDir) {
		return
	}
	if t.Do(ctx, "file", y.findFile) {
		t.Do(ctx, "space", y.space)
	}
}

// findDir walks to the directory as the sink does.
func (y *trial) findDir(_ context.Context, s *sinks.Step) error {
	path := filepath.Dir(y.w.cfg.Path)
	dir, err := y.w.fs.OpenDir(path, y.w.guard)
	if errors.Is(err, unix.ENOENT) && path == defaultDir {
		return sinks.Advise(fmt.Errorf("%s is not there yet", path), "start the relay, which makes this one")
	}
	if err != nil {
		return y.w.openError(err)
	}
	y.dir = dir
	p := dir.Place()
	if of, taken := named(y.w.reserved, p.id, &y.w.cfg); taken {
		return y.w.openError(refuse("it is of the files of %s: name another path", of))
	}

	var st unix.Stat_t
	if err := unix.Stat(p.real, &st); err != nil {
		return err
	}
	s.Text = fmt.Sprintf("%s, mode %04o, uid %d, gid %d", p.real, st.Mode&0o7777, st.Uid, st.Gid)
	if len(p.doubts) > 0 {
		s.Doubt("chown root "+p.real+" && chmod go-w "+p.real, "others than root can replace the file: %s", strings.Join(p.doubts, "; "))
	}
	if len(p.shut) > 0 && y.w.cfg.Mode&0o040 != 0 {
		s.Doubt("chgrp "+y.w.cfg.Group+" "+p.shut[0]+" && chmod g+x "+p.shut[0], "the file's group may not pass %s", p.shut[0])
	}
	return nil
}

// findFile looks at the file, opens it as the sink does and lets go of it.
func (y *trial) findFile(_ context.Context, s *sinks.Step) error {
	name := filepath.Base(y.w.cfg.Path)
	st, err := y.dir.Lstat(name)
	switch {
	case errors.Is(err, unix.ENOENT):
		if err := unix.Faccessat(unix.AT_FDCWD, y.dir.Place().real, unix.W_OK, unix.AT_EACCESS); err != nil {
			return y.w.openError(err)
		}
		s.Text = "not there yet: the relay makes it with the first record"
		return nil
	case err != nil:
		return y.w.openError(err)
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return y.w.openError(unix.ELOOP)
	}
	if err := y.w.guard.judgeFile(&st, y.dir.Place()); err != nil {
		return y.w.openError(err)
	}

	f, err := y.dir.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return y.w.openError(err)
	}
	defer f.Close()
	s.Text = fmt.Sprintf("%s may be written: mode %04o, uid %d, gid %d, %v", y.w.cfg.Path, st.Mode&0o7777, st.Uid, st.Gid, config.Size(st.Size))
	if pid := holder(f); pid != 0 {
		s.Text += ", held by " + describe(pid)
		s.Fact("held_by", "%s", describe(pid))
	}
	if st.Mode&0o7777 != y.w.cfg.Mode {
		s.Doubt(fmt.Sprintf("chmod %04o %s", y.w.cfg.Mode, y.w.cfg.Path), "the configured mode is %04o", y.w.cfg.Mode)
	}
	if st.Mode&0o007 != 0 {
		s.Doubt(`set mode = "0640"`, "every user of this host has rights to the audit records in it")
	}
	return nil
}

// space compares what the file system has left with what the files may take.
func (y *trial) space(_ context.Context, s *sinks.Step) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(y.dir.Place().real, &fs); err != nil {
		return err
	}
	if fs.Flags&unix.ST_RDONLY != 0 {
		return sinks.Advise(errors.New("the file system is mounted read-only"), "mount -o remount,rw it, or name another path; a unit's ProtectSystem= needs ReadWritePaths=")
	}
	free := clampSize(fs.Bavail, uint64(fs.Bsize))
	s.Text = fmt.Sprintf("%v free", rounded(free))
	s.Fact("free_bytes", "%d", int64(free))
	if fs.Files > 0 && fs.Ffree == 0 {
		return sinks.Advise(errors.New("the file system has no inode left"), "remove files there")
	}

	if free == 0 {
		return sinks.Advise(errors.New("the file system is full"), "make room there")
	}
	if most := int64(y.w.cfg.MaxSize) * int64(y.w.cfg.MaxFiles); y.w.cfg.MaxSize > 0 {
		s.Text += fmt.Sprintf(", the sink's files take at most %v", config.Size(most))
		if have := y.used(); int64(free)+have < most {
			s.Doubt("make room, or set a smaller max_size or max_files", "that does not fit: they take %v now", rounded(config.Size(have)))
		}
	}
	return nil
}

// rounded rounds a size to the digits that a reader needs.
func rounded(n config.Size) config.Size {
	switch {
	case n >= 10<<30:
		return n &^ (1<<30 - 1)
	case n >= 10<<20:
		return n &^ (1<<20 - 1)
	}
	return n
}

// clampSize multiplies without overflow.
func clampSize(blocks, size uint64) config.Size {
	const most = 1 << 62
	if size != 0 && blocks > most/size {
		return most
	}
	return config.Size(blocks * size)
}

// used is what the file and its rotations take.
func (y *trial) used() (bytes int64) {
	base := filepath.Base(y.w.cfg.Path)
	for _, name := range y.dir.Rotations(base) {
		if st, err := y.dir.Lstat(name); err == nil {
			bytes += st.Size
		}
	}
	return bytes
}
