package plugin

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A start, a reload and a status go through much of the program: the initialisation of libraries, the configuration, the look at the
// host. The kernel maps 64 KiB around each page that is used, so that most of the program counts as memory of this process from then
// on, although relaying uses a tenth of it.

// trimEvery is how long what was used once stays mapped. It is first given back after a second, when the start is over.
const trimEvery = 10 * time.Minute

// trimmer gives mapped pages of the program back now and then. It belongs to the main goroutine.
type trimmer struct{ next time.Time }

func (t *trimmer) trim(now time.Time, log *logger) {
	if now.Before(t.next) {
		return
	}
	t.next = now.Add(trimEvery)
	if err := unmapProgram(); err != nil {
		log.Debug("pages of the program cannot be given back", zap.Error(err))
	}
}

// unmapProgram gives back the pages of the program's file that are mapped and as the file has them. They stay in the page cache; what is
// used is mapped again then, which takes a microsecond for 64 KiB.
func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("find what is mapped of the program: %w", err)
	}
	defer f.Close()

	var m mapping
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m.begin(lines.Text(), program) || !m.intact(lines.Text()) {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back what is mapped of the program: %w", errno)
		}
	}
	return lines.Err()
}

// mapping is one of those that smaps lists (proc(5)): a line of its own, then one for each thing that is known of it.
type mapping struct {
	from, to uintptr
	readOnly bool
	ours     bool // of the program's file
}

// begin reports whether line begins another mapping, which m is from then on.
func (m *mapping) begin(line, program string) bool {
	var next mapping
	var rights string
	if n, _ := fmt.Sscanf(line, "%x-%x %s", &next.from, &next.to, &rights); n < 3 {
		return false
	}
	next.readOnly = strings.HasPrefix(rights, "r-")
	next.ours = strings.HasSuffix(line, " "+program)
	*m = next
	return true
}

// intact reports whether line says that m is the program's, and that all of it is as the file has it. What is not, as where addresses
// are written into it at a start, would be lost.
func (m *mapping) intact(line string) bool {
	size, ok := strings.CutPrefix(line, "Anonymous:")
	return ok && m.ours && m.readOnly && strings.TrimSpace(size) == "0 kB"
}
