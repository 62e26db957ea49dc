package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"audisp-relay/audit/record"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/queue/spool"
)

// newSpoolCmd is "audisp-relay spool": it looks and changes nothing, and may do so
// while the plugin runs.
func newSpoolCmd() *cobra.Command {
	var stateDir string
	var dump bool
	cmd := &cobra.Command{
		Use:   "spool [DIR|NAME...]",
		Short: "Look inside the spools on disk",
		Long: `spool lists what is stored for a sink: files, frames, and what of them is damaged.
NAME is a sink, DIR, with a slash in it, any directory; without one it is all spools
under state_dir. Every frame is read and its checksum verified. While the plugin runs
the last frame may be seen half written. Exit code 1 when something is damaged.`,
		Args: anyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := spoolDirs(filepath.Join(stateDir, "spool"), args)
			if err != nil {
				return err
			}
			l := &spoolLister{out: bufio.NewWriter(cmd.OutOrStdout()), notes: cmd.ErrOrStderr(), dump: dump}
			for _, dir := range dirs {
				if err = l.list(dir); err != nil {
					break
				}
			}
			err = errors.Join(err, l.out.Flush())
			switch {
			case errors.Is(err, syscall.EPIPE): // head has had enough
				return nil
			case err == nil && l.damaged:
				return exitError{1}
			}
			return err
		},
	}

	cmd.Flags().BoolVar(&dump, "dump", false, "print the records as lines; what is damaged is reported on stderr")
	cmd.Flags().StringVar(&stateDir, "state-dir", config.DefaultStateDir, "state_dir of the plugin's configuration")
	return cmd
}

// spoolDirs returns the directories that args name, or all under root.
func spoolDirs(root string, args []string) (dirs []string, err error) {
	for _, arg := range args {
		if !strings.Contains(arg, "/") {
			arg = filepath.Join(root, arg)
		}
		dirs = append(dirs, arg)
	}

	if len(args) > 0 {
		return dirs, nil
	}
	names, err := os.ReadDir(root)
	if err != nil {
		return nil, explainSpool(err)
	}

	for _, d := range names {
		if d.IsDir() {
			dirs = append(dirs, filepath.Join(root, d.Name()))
		}
	}
	return dirs, nil
}

// explainSpool adds to an error what to do.
func explainSpool(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: nothing was ever stored there; --state-dir, or a DIR with a slash, names another place", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run this as root", err)
	}
	return err
}

// spoolLister prints spools, their records to out or, with dump, only these.
type spoolLister struct {
	out     *bufio.Writer
	notes   io.Writer // what is damaged, with dump
	dump    bool
	damaged bool

	enc  format.Encoder // string
	buf  []byte
	recs []record.Record
	line []byte
}

func (l *spoolLister) list(dir string) error {
	v, err := spool.Inspect(dir)
	if err != nil {
		return explainSpool(err)
	}
	defer v.Close()
	segments, frames := v.Segments(), v.Frames
	if l.dump {
		for _, f := range frames {
			l.frame(v, f, "")
		}
		l.damage(l.notes, dir+": ", v)
		return nil
	}

	var size int64
	var records uint64
	byFile := make(map[string][]spool.Frame)
	for _, f := range frames {
		file, _ := v.Place(f)
		byFile[file] = append(byFile[file], f)
	}

	for _, s := range segments {
		size += s.Size
		records += s.Records
	}
	fmt.Fprintf(l.out, "%s: %s, %d bytes, %s, %s\n", dir,
		count(len(segments), "segment"), size, count(len(frames), "frame"), count(records, "record"))
	for _, s := range segments {
		l.segment(v, s, byFile[s.Name])
	}

	l.damage(l.out, "  ", v)
	for _, name := range v.Foreign {
		fmt.Fprintf(l.out, "  not the spool's: %q\n", name)
	}
	return nil
}

func (l *spoolLister) segment(v *spool.View, s spool.SegmentInfo, frames []spool.Frame) {
	fmt.Fprintf(l.out, "  %s: %d bytes, %s", s.Name, s.Size, count(s.Frames, "frame"))
	if s.Frames > 0 {
		fmt.Fprintf(l.out, ", records %d to %d", s.First, s.Next-1)
	}
	if s.Skipped > 0 {
		fmt.Fprintf(l.out, ", %d bytes are no frame", s.Skipped)
	}
	if s.Ended {
		fmt.Fprint(l.out, ", end of an orderly run")
	}
	fmt.Fprintln(l.out)
	for _, f := range frames {
		_, off := v.Place(f)
		l.frame(v, f, fmt.Sprintf("    at %d: %s from %d on, %s, serials %d to %d, %d bytes", off,
			count(f.Records, "record"), f.First, count(f.Events, "event"), f.FirstSerial, f.LastSerial, f.Bytes))
	}
}

// frame reads a frame and prints its records, or about.
func (l *spoolLister) frame(v *spool.View, f spool.Frame, about string) {
	b, err := v.Read(f, l.buf, l.recs)
	if err != nil {
		l.damaged = true
		if l.dump {
			fmt.Fprintf(l.notes, "%v: %s from %d on cannot be read\n", err, count(f.Records, "record"), f.First)
		} else {
			fmt.Fprintf(l.out, "%s: %v\n", about, err)
		}
		return
	}

	l.buf, l.recs = b.Buf, b.Recs
	if !l.dump {
		fmt.Fprintln(l.out, about)
		return
	}

	for i := range b.Recs {
		l.line = l.enc.Append(l.line[:0], b, i)
		l.out.Write(l.line) // an error stays until Flush
	}
}

// damage prints what was found unreadable before any frame was read.
func (l *spoolLister) damage(w io.Writer, prefix string, v *spool.View) {
	d := v.Damage
	if d.Frames == 0 && d.Bytes == 0 && d.Uncounted == 0 && d.Err == nil {
		return
	}
	l.damaged = true
	for _, f := range d.Lost {
		fmt.Fprintf(w, "%smissing: %s from %d on\n", prefix, count(f.Records, "record"), f.First)
	}
	fmt.Fprintf(w, "%sdamage: %s with %s missing, %d bytes skipped", prefix, count(d.Frames, "frame"), count(d.Whole, "record"), d.Bytes)
	if d.Uncounted > 0 {
		fmt.Fprintf(w, ", %s of unknown content (a torn last frame, mostly)", count(d.Uncounted, "place"))
	}
	fmt.Fprintln(w)
	if d.Err != nil {
		fmt.Fprintf(w, "%sI/O error: %v\n", prefix, d.Err)
	}
}

// count is "1 frame" or "2 frames".
func count[N int | uint32 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
