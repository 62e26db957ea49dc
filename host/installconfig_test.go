package host

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// importing gives an installer an Import that makes text of the plugins in dir.
func importing(t *testing.T, i *Installer, dir, text string, dropIns ...string) {
	t.Helper()
	i.Import = func(_ Auditd, got string) ([]byte, []string, error) {
		if got != i.Machine.path(dir) {
			t.Errorf("imported from %s, want %s", got, dir)
		}
		return []byte(text), dropIns, nil
	}
}

// An imported configuration is written where there is none, or the packaged one as it was; an earlier
// import's is left, and anything else refused with nothing changed.
func TestInstallImports(t *testing.T) {
	const text = "# imported\n"
	for _, tt := range []struct{ there, want, says string }{
		{"", "", "wrote the configuration"},
		{"# sample\n", "", "wrote the configuration"},
		{text, "", "left the configuration"},
		{"# mine\n", "is there already and not the packaged one, so nothing was changed", ""},
		{"# sample\n# and mine\n", "is there already", ""},
	} {
		m := stoppedMachine(t)
		if tt.there != "" {
			m.put(t, DefaultConfig, tt.there, 0o640)
		}
		i, said := newInstaller(m, "/usr/sbin/relay")
		importing(t, i, DefaultPluginDir, text, "/etc/audit/plugins.d/au-remote.conf", "/etc/audit/plugins.d/my plug'in.conf")
		checkError(t, i.Install(context.Background()), tt.want)
		if tt.want != "" {
			if got := m.get(t, DefaultConfig); got != tt.there || m.list(t, DefaultPluginDir) != "syslog.conf" {
				t.Errorf("%q: changed to %q, plugins %s", tt.there, got, m.list(t, DefaultPluginDir))
			}
			continue
		}

		if got := m.get(t, DefaultConfig); got != text {
			t.Errorf("%q: configuration %q", tt.there, got)
		}
		said.want(t, tt.says)
		said.want(t, "  sed -i 's/^ *active *=.*/active = no/I' /etc/audit/plugins.d/au-remote.conf")
		said.want(t, `  set active = no in "/etc/audit/plugins.d/my plug'in.conf"`)
	}
}

// The configuration that is there is not checked when it is replaced, and what cannot be imported
// changes nothing.
func TestInstallImportFails(t *testing.T) {
	m := stoppedMachine(t)
	i, _ := newInstaller(m, "/usr/sbin/relay")
	i.Import = func(Auditd, string) ([]byte, []string, error) { return nil, nil, errors.New("nothing to import") }
	checkError(t, i.Install(context.Background()), "nothing to import")
	if names := m.list(t, DefaultPluginDir); names != "syslog.conf" || exists(m.path(DefaultConfig)) {
		t.Errorf("changed: %s", names)
	}
	if _, err := i.Imported(); err == nil {
		t.Error("no error")
	}
	m.put(t, DefaultConfig+"/x", "", 0o640)
	importing(t, i, DefaultPluginDir, "# imported\n")
	checkError(t, i.Install(context.Background()), "read the present configuration")
}

// Once the plugins that were taken over are switched off there is nothing to import: all is as wanted then, but
// not where no configuration has taken their place.
func TestInstallImportsNothing(t *testing.T) {
	const sample, made = "# sample\n", "# imported, and changed since\n"
	for there, want := range map[string]string{"": "there is nothing to import", sample: "there is nothing to import", made: ""} {
		m := stoppedMachine(t)
		if there != "" {
			m.put(t, DefaultConfig, there, 0o640)
		}
		i, said := newInstaller(m, "/usr/sbin/relay")
		i.Import = func(Auditd, string) ([]byte, []string, error) { return nil, nil, nil }
		checkError(t, i.Install(context.Background()), want)
		if _, err := i.Imported(); err == nil || !strings.Contains(err.Error(), "there is nothing to import") {
			t.Errorf("%q: printed with %v", there, err)
		}
		if want != "" {
			continue
		}

		said.want(t, "nothing to import: no plugin in ")
		said.want(t, "left the configuration")
		if got := m.get(t, DefaultConfig); got != made || said.has("active = no") {
			t.Errorf("configuration %q, said:\n%s", got, strings.Join(said.lines, "\n"))
		}
		install(t, i)
		said.want(t, "unchanged: all is as wanted")
	}
}

// What is there is checked all the same.
func TestInstallImportsNothingBesideErrors(t *testing.T) {
	m := stoppedMachine(t)
	m.put(t, DefaultConfig, "# mine\n", 0o640)
	i, _ := newInstaller(m, "/usr/sbin/relay")
	i.Import = func(Auditd, string) ([]byte, []string, error) { return nil, nil, nil }
	i.Check = func(string) error { return errors.New("a key is wrong") }
	checkError(t, i.Install(context.Background()), "a key is wrong")
}

// Imported changes nothing.
func TestImportedOnlyLooks(t *testing.T) {
	m := stoppedMachine(t)
	i, said := newInstaller(m, "/usr/sbin/relay")
	importing(t, i, DefaultPluginDir, "# imported\n")
	if text, err := i.Imported(); err != nil || string(text) != "# imported\n" {
		t.Errorf("%q, %v", text, err)
	}
	if names := m.list(t, DefaultPluginDir); names != "syslog.conf" || exists(m.path(DefaultConfig)) || len(said.lines) > 0 {
		t.Errorf("changed: %s, said %q", names, said.lines)
	}
}

// auditd 2.x runs no plugins beside the relay: plugin_dir is not needed, and nothing to be switched off.
func TestInstallImportsFromAudispd(t *testing.T) {
	m := stoppedMachine(t)
	m.auditdVersion = "2.8.5"
	m.put(t, "/etc/audit/auditd.conf", "dispatcher = /sbin/audispd\n", 0o640)
	i, said := newInstaller(m, "/usr/sbin/relay")
	importing(t, i, "/etc/audisp/plugins.d", "# imported\n", "/etc/audisp/plugins.d/syslog.conf")
	err := i.Install(context.Background())
	checkError(t, err, "set `dispatcher = /usr/sbin/relay` (now \"/sbin/audispd\"), then start auditd")
	if strings.Contains(err.Error(), "plugin_dir") || m.get(t, DefaultConfig) != "# imported\n" {
		t.Errorf("%v, %q", err, m.get(t, DefaultConfig))
	}
	m.put(t, "/etc/audit/auditd.conf", "dispatcher = /usr/sbin/relay\n", 0o640)
	install(t, i)
	if said.has("active = no") || said.has("plugin_dir") {
		t.Errorf("said:\n%s", strings.Join(said.lines, "\n"))
	}
}

// A relay that runs with the packaged configuration takes the imported one over.
func TestInstallImportsUnderARunningRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	m, dir, auditd := runningMachine(t, true)
	first, _ := newInstaller(m, standin(t, dir+"/bin1"))
	first.Config = dir + "/relay.toml"
	install(t, first)
	pid := m.childRunning(auditd, first.Binary)

	for _, noReload := range []bool{true, false} {
		if err := os.WriteFile(first.Config, first.Sample, 0o640); err != nil {
			t.Fatal(err)
		}
		i, said := newInstaller(m, first.Binary)
		i.Config, i.NoReload = first.Config, noReload
		importing(t, i, dir+"/plugins", "# imported\n")
		install(t, i)
		if said.has("a SIGHUP, with which it takes the configuration over") == noReload || said.has("kill -HUP") != noReload {
			t.Errorf("no reload %v, said:\n%s", noReload, strings.Join(said.lines, "\n"))
		}
		if now := m.childRunning(auditd, i.Binary); now != pid || m.get(t, i.Config) != "# imported\n" {
			t.Errorf("the plugin went from pid %d to %d, configuration %q", pid, now, m.get(t, i.Config))
		}
	}
}
