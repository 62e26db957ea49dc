package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Where `make install` puts the completions, below DESTDIR with PREFIX=/usr.
const (
	bashScript = "usr/share/bash-completion/completions/audisp-relay"
	fishScript = "usr/share/fish/vendor_completions.d/audisp-relay.fish"
	zshScripts = "usr/share/zsh/*/_audisp-relay"
)

// completed is a machine below a directory: what `make install` puts there, and a configuration.
type completed struct {
	t                 *testing.T
	dir, root, config string
}

// installCompleted builds the program and installs it below a directory.
func installCompleted(t *testing.T) completed {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir := t.TempDir()
	c := completed{t, dir, filepath.Join(dir, "root"), filepath.Join(dir, "relay.toml")}
	binary := filepath.Join(dir, "audisp-relay")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/audisp-relay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if out, err := exec.Command("make", "-C", "..", "-o", "build", "install", "BIN="+binary, "DESTDIR="+c.root).CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	config := `[sinks.archive]
type = "file"
path = "/var/log/archive"
[sinks.local]
type = "unix"
path = "` + dir + `/events.sock"
`
	for name, text := range map[string]string{c.config: config, filepath.Join(dir, "capture.log"): ""} {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestCompletions: `make install` puts the scripts where shells look for them, each shell that
// loads them offers what fits, and they go with uninstall.
func TestCompletions(t *testing.T) {
	c := installCompleted(t)
	t.Run("bash", func(t *testing.T) { c.on(t).bash() })
	t.Run("fish", func(t *testing.T) { c.on(t).fish() })
	t.Run("zsh", func(t *testing.T) { c.on(t).zsh() })
	t.Run("uninstall", func(t *testing.T) { c.on(t).uninstall() })
}

// on is c for a part of the test.
func (c completed) on(t *testing.T) completed {
	c.t = t
	return c
}

func (c completed) uninstall() {
	t := c.t
	scripts := func() (found []string) {
		for _, pattern := range []string{bashScript, fishScript, zshScripts} {
			names, _ := filepath.Glob(filepath.Join(c.root, pattern))
			found = append(found, names...)
		}
		return found
	}
	names := scripts()
	if len(names) != 3 {
		t.Fatalf("installed are %v", names)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || info.Size() < 1000 || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	if out, err := exec.Command("make", "-C", "..", "uninstall", "DESTDIR="+c.root).CombinedOutput(); err != nil {
		t.Fatalf("make uninstall: %v\n%s", err, out)
	}
	if names := scripts(); len(names) > 0 {
		t.Errorf("uninstall leaves %v", names)
	}
}

// offers are command lines, and what is offered for their last word: these, and none of those.
func (c completed) offers() []offer {
	return []offer{
		{"audisp-relay ", []string{"check", "replay", "status", "tail"}, []string{"capture.log", "__complete"}},
		{"audisp-relay st", []string{"status"}, []string{"tail"}},
		{"audisp-relay status --", []string{"--json", "--watch", "--run-dir"}, []string{"--sink"}},
		{"audisp-relay replay -c " + c.config + " --sink ", []string{"archive", "local"}, []string{"capture.log"}},
		{"audisp-relay replay --format ", []string{"string", "binary", "json", "ecs", "ocsf", "laurel", "joined"}, []string{"capture.log"}},
		{"audisp-relay install --format ", []string{"string", "binary"}, []string{"json"}},
		{"audisp-relay replay " + c.dir + "/cap", []string{"capture.log"}, []string{"archive"}},
		{"audisp-relay doctor --min-backlog ", nil, []string{"capture.log"}},
		{"audisp-relay completion ", []string{"bash", "zsh", "fish"}, []string{"capture.log"}},
		{"audisp-relay fleet ", []string{"status", "verify", "read", "init"}, []string{"capture.log", "tail"}},
		{"audisp-relay help sta", []string{"status"}, []string{"capture.log"}},
	}
}

type offer struct {
	line         string
	offered, not []string
}

// check holds what a shell offers against what it should.
func (o offer) check(t *testing.T, got string) {
	t.Helper()
	words := regexp.MustCompile(`[^\s()]+`).FindAllString(got, -1)
	for i, word := range words {
		words[i] = filepath.Base(word)
	}
	for _, want := range o.offered {
		if !slices.Contains(words, want) {
			t.Errorf("%q: %q is not offered, but %q", o.line, want, got)
		}
	}
	for _, word := range o.not {
		if slices.Contains(words, word) {
			t.Errorf("%q: %q is offered", o.line, word)
		}
	}
}

// shell starts the program of a shell with the installed relay in PATH, in the directory of the
// capture.
func (c completed) shell(name string, args ...string) string {
	c.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		c.t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(c.root, "usr/sbin")+":"+os.Getenv("PATH"), "HOME="+c.dir, "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// bash loads the script as bash-completion does.
func (c completed) bash() {
	t := c.t
	const loader = "/usr/share/bash-completion/bash_completion"
	if _, err := os.Stat(loader); err != nil {
		t.Skip("bash-completion is not installed")
	}
	const script = `source "$1"; source "$2"
COMP_LINE=$3 COMP_POINT=${#3} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"$3"
[[ $3 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
type() { [[ $* == '-t compopt' ]] && echo builtin || builtin type "$@"; }
compopt() { [[ $* != '+o default' ]] || nothing=1; }
read -r -a spec <<<"$(complete -p audisp-relay)"
for ((i = 0; i < ${#spec[@]}; i++)); do [[ ${spec[i]} == -F ]] && "${spec[i + 1]}" audisp-relay "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; done
[ ${#COMPREPLY[@]} -gt 0 ] && printf '%s\n' "${COMPREPLY[@]}"
# complete -o default: files where nothing else is offered
[ ${#COMPREPLY[@]} -gt 0 ] || [ "$nothing" ] || [[ " ${spec[*]} " != *' default '* ]] || compgen -f -- "${COMP_WORDS[COMP_CWORD]}" || true`
	for _, o := range c.offers() {
		if strings.Contains(o.line, "/cap") {
			o.offered = nil // readline's part
		}
		got := c.shell("bash", "--norc", "-c", script, "bash", loader, filepath.Join(c.root, bashScript), o.line)
		o.check(t, got)
	}
}

func (c completed) fish() {
	for _, o := range c.offers() {
		o.check(c.t, c.shell("fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, filepath.Join(c.root, fishScript), o.line))
	}
}

// zsh types into a zsh on a terminal of tmux, since only its line editor completes.
func (c completed) zsh() {
	t := c.t
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("zsh is not installed")
	}
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	names, err := filepath.Glob(filepath.Join(c.root, zshScripts))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	tmux := func(args ...string) string {
		t.Helper()
		return c.shell("tmux", append([]string{"-f", "/dev/null", "-S", filepath.Join(c.dir, "tmux.sock")}, args...)...)
	}
	tmux("new-session", "-d", "-x", "120", "-y", "50", "zsh", "-f")
	defer tmux("kill-server")
	await := func(what string, shown func(screen string) bool) (screen string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if screen = tmux("capture-pane", "-p"); shown(screen) {
				return screen
			}
		}
		t.Fatalf("%s does not show:\n%s", what, screen)
		return ""
	}
	tmux("send-keys", "-l", "PS1='ready> '; LISTMAX=1000; fpath=("+filepath.Dir(names[0])+" $fpath); autoload -U compinit; compinit -D -u; clear\n")
	ready := regexp.MustCompile(`(?m)^ready>$`)
	await("the prompt", func(screen string) bool { return ready.MatchString(strings.TrimSpace(screen)) })

	for _, o := range c.offers() {
		tmux("send-keys", "-l", o.line+"\t\t")
		all := func(screen string) bool {
			for _, word := range o.offered {
				if !strings.Contains(screen, word) {
					return false
				}
			}
			return true
		}
		screen := await("what is offered for "+o.line, all)
		_, listed, _ := strings.Cut(screen, "\n") // after the line that was typed
		o.offered = nil
		o.check(t, listed)
		tmux("send-keys", "C-u")
		tmux("send-keys", "C-l")
		await("the prompt", func(screen string) bool { return ready.MatchString(strings.TrimSpace(screen)) })
	}
}
