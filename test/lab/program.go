package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

var (
	programsMu sync.Mutex // guards programs
	programs   = make(map[string][]byte)
)

// Program returns the executable of a package with a main function, given by its import path
// or by a path from the current directory. It is static and without the race detector, and
// built once in a process: linking takes longer than the tests that ask for it.
//
// flags are those of go build.
func Program(pkg string, flags ...string) ([]byte, error) {
	programsMu.Lock()
	defer programsMu.Unlock()
	key := strings.Join(append(flags, pkg), " ")
	if program, ok := programs[key]; ok {
		return program, nil
	}

	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "program")
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", path}, flags, []string{pkg})...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %v\n%s", pkg, err, out)
	}
	program, err := os.ReadFile(path)
	if err == nil {
		programs[key] = program
	}
	return program, err
}
