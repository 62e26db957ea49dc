package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"audisp-relay/config"
	"audisp-relay/test/lab"
)

// selinuxDevel makes modules with the interfaces of the distribution's policy.
const selinuxDevel = "/usr/share/selinux/devel/Makefile"

// TestSELinuxModule: the policy's compiler takes the module, and its package has the contexts of files.
func TestSELinuxModule(t *testing.T) {
	if _, err := os.Stat(selinuxDevel); err != nil {
		lab.Missing(t, "the development files of the SELinux policy are not installed (selinux-policy-dev)")
	}
	dir := t.TempDir()
	for _, name := range []string{"audisp_relay.te", "audisp_relay.if", "audisp_relay.fc"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readFile(t, "selinux/"+name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("make", "-f", selinuxDevel, "NAME=audisp-relay", "audisp_relay.pp")
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") }) // of make test
	out, err := cmd.CombinedOutput()
	if err != nil || regexp.MustCompile(`(?i)warning|error`).Match(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	if module := readFile(t, dir+"/audisp_relay.pp"); !strings.Contains(module, "/var/lib/audisp-relay(/.*)?") {
		t.Errorf("a module of %d bytes without contexts of files", len(module))
	}
}

// TestAppArmorProfiles: the parser takes both, and warns of nothing.
func TestAppArmorProfiles(t *testing.T) {
	const parser = "/usr/sbin/apparmor_parser"
	if _, err := os.Stat(parser); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil {
			t.Skip("this distribution may have no AppArmor")
		}
		lab.Missing(t, "apparmor_parser is not installed (apparmor)")
	}
	profiles, err := filepath.Glob("apparmor/*")
	if err != nil || len(profiles) != 2 {
		t.Fatal(profiles, err)
	}
	for _, profile := range profiles {
		out, err := exec.Command(parser, "--skip-kernel-load", "--skip-cache", "--kernel-features=/etc/apparmor.d/abi/3.0", "--warn=all", "--Werror", profile).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", profile, err, out)
		}
	}
}

// TestPoliciesAllowTheCapabilities: what the relay keeps after its start, and what it has until then, both
// policies allow; more than that they do not, but for what is named here.
func TestPoliciesAllowTheCapabilities(t *testing.T) {
	used := []string{
		"dac_read_search",          // asked for by the kernel before dac_override
		"sys_nice", "sys_resource", // nice value and OOM score
		"sys_admin", // seccomp(2) without no_new_privs
	}
	for _, m := range regexp.MustCompile(`unix\.CAP_(\w+)`).FindAllStringSubmatch(readFile(t, "../plugin/sandbox/caps.go"), -1) {
		used = append(used, strings.ToLower(m[1]))
	}
	slices.Sort(used)

	var selinux, apparmor []string
	for _, m := range regexp.MustCompile(`self:capability \{ ([a-z_ ]+) \}`).FindAllStringSubmatch(readFile(t, "selinux/audisp_relay.te"), -1) {
		selinux = append(selinux, strings.Fields(m[1])...)
	}
	for _, m := range regexp.MustCompile(`(?m)^  capability (\w+),$`).FindAllStringSubmatch(readFile(t, "apparmor/audisp-relay"), -1) {
		apparmor = append(apparmor, m[1])
	}
	for name, allowed := range map[string][]string{"SELinux": selinux, "AppArmor": apparmor} {
		if slices.Sort(allowed); !slices.Equal(allowed, used) {
			t.Errorf("%s allows\n%q, the relay uses\n%q", name, allowed, used)
		}
	}
}

// TestPoliciesKnowThePaths: what the relay has by default bears a type of its own, and may be written to.
func TestPoliciesKnowThePaths(t *testing.T) {
	profile := readFile(t, "apparmor/audisp-relay")
	contexts := regexp.MustCompile(`(?m)^(/\S+)\s.*:(audisp_relay_\w+_t),`).FindAllStringSubmatch(readFile(t, "selinux/audisp_relay.fc"), -1)
	for path, want := range map[string]struct{ selinux, apparmor string }{
		"/usr/sbin/audisp-relay":                  {"audisp_relay_exec_t", "/{usr/,}{s,}bin/audisp-relay mrix,"},
		config.DefaultRunDir + "/events.sock":     {"audisp_relay_run_t", "@{run}/audisp-relay/** rwk,"},
		config.DefaultStateDir + "/spool/local/1": {"audisp_relay_state_t", "/var/lib/audisp-relay/** rwlk,"},
		"/var/log/audisp-relay/relay.log":         {"audisp_relay_log_t", "/var/log/audisp-relay/** rwk,"},
	} {
		var got string
		for _, m := range contexts {
			if regexp.MustCompile("^" + m[1] + "$").MatchString(path) {
				got = m[2]
			}
		}
		if got != want.selinux {
			t.Errorf("%s is a %q, want %s", path, got, want.selinux)
		}
		if !strings.Contains(profile, "  "+want.apparmor+"\n") {
			t.Errorf("the profile has no line %q for %s", want.apparmor, path)
		}
	}
}
