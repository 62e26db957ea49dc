package packaging_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/test/lab"
)

// packaged are the files of every package with their modes. What only one of them has is below.
var packaged = map[string]string{
	"/usr/sbin/audisp-relay":                                      "0755",
	"/etc/audit/audisp-relay.toml":                                "0640",
	"/etc/audit/plugins.d/audisp-relay.conf":                      "0640",
	"/etc/logrotate.d/audisp-relay":                               "0644",
	"/usr/lib/sysusers.d/audisp-relay.conf":                       "0644",
	"/usr/lib/tmpfiles.d/audisp-relay.conf":                       "0644",
	"/usr/share/audisp-relay/aide.conf":                           "0644",
	"/usr/share/audisp-relay/logrotate":                           "0644",
	"/usr/share/audisp-relay/mixin/alerts.yml":                    "0644",
	"/usr/share/audisp-relay/mixin/dashboard.json":                "0644",
	"/usr/share/audisp-relay/rules/10-audisp-relay.rules":         "0644",
	"/usr/share/audisp-relay/rules/30-audisp-relay-starter.rules": "0644",
	"/usr/share/apparmor/extra-profiles/audisp-relay":             "0644",
	"/usr/share/apparmor/extra-profiles/auditd-for-audisp-relay":  "0644",
	"/usr/share/selinux/packages/audisp-relay/audisp_relay.te":    "0644",
	"/usr/share/selinux/packages/audisp-relay/audisp_relay.if":    "0644",
	"/usr/share/selinux/packages/audisp-relay/audisp_relay.fc":    "0644",
	"/usr/share/bash-completion/completions/audisp-relay":         "0644",
	"/usr/share/fish/vendor_completions.d/audisp-relay.fish":      "0644",
	"/usr/share/doc/audisp-relay/README.md":                       "0644",
	"/usr/share/doc/audisp-relay/CHANGELOG.md.gz":                 "0644",
	"/usr/share/doc/audisp-relay/third-party.txt.gz":              "0644",
	"/usr/share/man/man5/audisp-relay.toml.5.gz":                  "0644",
	"/usr/share/man/man8/audisp-relay.8.gz":                       "0644",
	"/usr/share/man/man8/audisp-relay-doctor.8.gz":                "0644",
	"/usr/share/man/man8/audisp-relay-fleet.8.gz":                 "0644",
}

var packagedIn = map[string]map[string]string{
	"deb": {
		"/etc/audit/":           "0750",
		"/etc/audit/plugins.d/": "0750",
		"/etc/aide/aide.conf.d/31_aide_audisp-relay":      "0644",
		"/usr/share/doc/audisp-relay/copyright":           "0644",
		"/usr/share/doc/audisp-relay/changelog.gz":        "0644",
		"/usr/share/lintian/overrides/audisp-relay":       "0644",
		"/usr/share/zsh/vendor-completions/_audisp-relay": "0644",
		"/var/lib/audisp-relay/":                          "0700",
		"/var/log/audisp-relay/":                          "0750",
	},
	"rpm": {
		"/usr/share/licenses/audisp-relay/LICENSE":    "0644",
		"/usr/share/zsh/site-functions/_audisp-relay": "0644",
	},
	"apk": {
		"/etc/audit/":                                 "0750",
		"/etc/audit/plugins.d/":                       "0750",
		"/usr/share/licenses/audisp-relay/LICENSE":    "0644",
		"/usr/share/zsh/site-functions/_audisp-relay": "0644",
	},
}

// conffiles are what an upgrade leaves as the administrator has it.
var conffiles = []string{"/etc/audit/audisp-relay.toml", "/etc/audit/plugins.d/audisp-relay.conf", "/etc/logrotate.d/audisp-relay"}

// entry is a file of a package.
type entry struct {
	mode, owner string
	text        []byte
}

// builder makes packages with a program that is built once.
type builder struct {
	t                     *testing.T
	binary, format, names string
}

// newBuilder skips the test where it may not take long, or nfpm cannot be built.
func newBuilder(t *testing.T, format string) builder {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	b := builder{t, filepath.Join(t.TempDir(), "audisp-relay"), format, "audisp-relay"}
	if out, err := exec.Command("go", "-C", "tools", "build", "-o", os.DevNull, "github.com/goreleaser/nfpm/v2/cmd/nfpm").CombinedOutput(); err != nil {
		lab.Missing(t, "nfpm cannot be built: %s", out)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.binary, "../cmd/audisp-relay")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return b
}

// build returns the packages that packages.sh makes at a commit of that time, and their checksums.
func (b builder) build(epoch string) (paths []string, sums string) {
	b.t.Helper()
	out := b.t.TempDir()
	cmd := exec.Command("./packages.sh", out)
	cmd.Env = append(os.Environ(), "PACKAGE_BINARY="+b.binary, "PACKAGE_NAMES="+b.names, "PACKAGE_FORMATS="+b.format, "PACKAGE_ARCHES=amd64", "PACKAGE_SBOM=no", "SOURCE_DATE_EPOCH="+epoch)
	if text, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("packages.sh: %v\n%s", err, text)
	}
	paths, err := filepath.Glob(out + "/audisp-relay*")
	if err != nil || len(paths) != len(strings.Fields(b.format))*len(strings.Fields(b.names)) {
		b.t.Fatal(paths, err)
	}
	return paths, readFile(b.t, out+"/SHA256SUMS")
}

// TestPackages: each package has exactly the files it should, with owners and modes, two builds
// of one commit are the same, and they can be used.
func TestPackages(t *testing.T) {
	if os.Getenv("AUDISP_PACKAGES") != "1" {
		t.Skip("builds packages for a minute: make try-packages")
	}
	b := newBuilder(t, "deb rpm apk")
	b.names = "audisp-relay audisp-relay-fips"
	paths, sums := b.build("1790000000")
	if _, again := b.build("1790000000"); again != sums {
		t.Errorf("two builds differ:\n%s\n%s", sums, again)
	}
	first := make(map[string]try) // by format
	for _, path := range paths {
		format, name := strings.TrimPrefix(filepath.Ext(path), "."), "audisp-relay"
		files := first[format]
		if strings.HasPrefix(filepath.Base(path), "audisp-relay-fips") {
			name, files.fips = "audisp-relay-fips", path
		} else {
			files.old = path
		}
		first[format] = files
		t.Run(name+" "+format, func(t *testing.T) {
			files := readPackage(t, path)
			comparePackage(t, files, wantedIn(name, format))
			checkPackaged(t, files, format)
			checkRelations(t, path, name)
		})
	}
	for _, name := range []string{first["deb"].old, first["deb"].fips} {
		t.Run("lintian of "+filepath.Base(name), func(t *testing.T) { runLintian(t, name) })
	}
	for _, name := range []string{first["rpm"].old, first["rpm"].fips} {
		t.Run("rpmlint of "+filepath.Base(name), func(t *testing.T) { runRpmlint(t, name) })
	}

	all := packagesToTry(t, b, first)
	tryEverywhere(t, all)
	t.Run("upgrade under load", func(t *testing.T) { upgradeUnderLoad(t, all["deb"]) })
}

// wantedIn are the files of a package with their modes. Debian has some under the package's name.
func wantedIn(name, format string) map[string]string {
	wanted := maps.Clone(packaged)
	for path, mode := range packagedIn[format] {
		switch path {
		case "/usr/share/doc/audisp-relay/copyright", "/usr/share/doc/audisp-relay/changelog.gz", "/usr/share/lintian/overrides/audisp-relay":
			path = strings.Replace(path, "audisp-relay", name, 1)
		}
		wanted[path] = mode
	}
	return wanted
}

// checkRelations: either of the two packages takes the place of the other, but rpm's only when it
// is asked to: Obsoletes would change the variant with an upgrade.
func checkRelations(t *testing.T, path, name string) {
	t.Helper()
	other := map[string]string{"audisp-relay": "audisp-relay-fips", "audisp-relay-fips": "audisp-relay"}[name]
	var got, want string
	switch filepath.Ext(path) {
	case ".deb":
		got = output(t, "dpkg-deb", "-f", path, "Package", "Provides", "Conflicts", "Replaces")
		want = "Package: " + name + "\n"
		if name == "audisp-relay-fips" {
			want += "Provides: " + other + "\n"
		}
		got, want = sorted(got), sorted(want+"Conflicts: "+other+"\nReplaces: "+other+"\n")
	case ".rpm":
		got = output(t, "rpm", "-qp", "--qf", "%{NAME} conflicts %{CONFLICTS} obsoletes %{OBSOLETES}", path)
		want = name + " conflicts " + other + " obsoletes (none)"
	default:
		return
	}
	if got != want {
		t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
	}
}

// sorted returns the lines of a text in order.
func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// comparePackage leaves out directories that are not listed: all of these are the system's.
func comparePackage(t *testing.T, files map[string]entry, wanted map[string]string) {
	t.Helper()
	for path, mode := range wanted {
		if got, ok := files[path]; !ok || got.mode != mode || got.owner != "root:root" {
			t.Errorf("%s: %s %s, want %s root:root", path, got.mode, got.owner, mode)
		}
	}
	for path, e := range files {
		if _, ok := wanted[path]; !ok && (!strings.HasSuffix(path, "/") || e.mode != "0755") {
			t.Errorf("%s, mode %s, should not be there", path, e.mode)
		}
	}
}

// checkPackaged looks into the files, where the package can be read so far.
func checkPackaged(t *testing.T, files map[string]entry, format string) {
	t.Helper()
	if format == "rpm" {
		return // its list of files has no contents
	}
	dropIn := string(files["/etc/audit/plugins.d/audisp-relay.conf"].text)
	if !strings.Contains(dropIn, "active = no\n") || !strings.Contains(dropIn, "path = /usr/sbin/audisp-relay\n") {
		t.Errorf("the drop-in is not inactive, or names another program:\n%s", dropIn)
	}
	if string(files["/etc/audit/audisp-relay.toml"].text) != readFile(t, sampleFile) {
		t.Error("the configuration is not the sample")
	}
	for path, want := range map[string]string{
		"/usr/share/man/man8/audisp-relay.8.gz":          ".Dt AUDISP-RELAY 8",
		"/usr/share/doc/audisp-relay/third-party.txt.gz": "github.com/BurntSushi/toml ",
	} {
		unzip, err := gzip.NewReader(bytes.NewReader(files[path].text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if text, err := io.ReadAll(unzip); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q: %v", path, want, err)
		}
	}
}

// readPackage lists what is in a package.
func readPackage(t *testing.T, path string) map[string]entry {
	t.Helper()
	switch filepath.Ext(path) {
	case ".deb":
		need(t, "dpkg-deb")
		if got := strings.Fields(output(t, "dpkg-deb", "-I", path, "conffiles")); !slices.Equal(got, append([]string{"/etc/aide/aide.conf.d/31_aide_audisp-relay"}, conffiles...)) {
			t.Errorf("conffiles: %v", got)
		}
		return readTar(t, strings.NewReader(output(t, "dpkg-deb", "--fsys-tarfile", path)))
	case ".rpm":
		need(t, "rpm")
		if got := strings.Fields(output(t, "rpm", "-qp", "--configfiles", path)); !slices.Equal(got, conffiles) {
			t.Errorf("configuration files: %v", got)
		}
		if got := len(strings.Fields(output(t, "rpm", "-qp", "--docfiles", path))); got != 7 {
			t.Errorf("%d files are documents, want the manuals and those of /usr/share/doc", got)
		}
		return readRPM(t, path)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return readTar(t, unzip)
}

// readTar reads an archive; the names that begin with a dot are those of apk's own.
func readTar(t *testing.T, r io.Reader) map[string]entry {
	t.Helper()
	files := make(map[string]entry)
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if strings.HasPrefix(name, ".") {
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files["/"+name] = entry{fmt.Sprintf("%04o", h.Mode&0o7777), h.Uname + ":" + h.Gname, text}
	}
}

func readRPM(t *testing.T, path string) map[string]entry {
	t.Helper()
	files := make(map[string]entry)
	for line := range strings.Lines(output(t, "rpm", "-qp", "--qf", "[%{FILEMODES} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]", path)) {
		var mode int
		var owner, name string
		if _, err := fmt.Sscan(line, &mode, &owner, &name); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if mode&0o170000 == 0o040000 {
			name += "/"
		}
		files[name] = entry{mode: fmt.Sprintf("%04o", mode&0o7777), owner: owner}
	}
	return files
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// runLintian: nothing is left that lintian complains of and that has no reason in lintian-overrides.
func runLintian(t *testing.T, deb string) {
	need(t, "lintian")
	out, err := exec.Command("lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning", deb).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
