package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"sync"
	"syscall"
)

// checkConfig says whether the configuration that is there can be used, and whether no
// other user can put another one in its place.
func (i *Installer) checkConfig(a Auditd) error {
	if err := i.Machine.checkParents("configuration", i.Config, "name another file with --config"); err != nil {
		return err
	}
	if err := i.importConfig(a); err != nil {
		return err
	}
	if i.Check == nil || i.replaces || !exists(i.Machine.path(i.Config)) {
		return nil
	}
	return i.Check(i.Machine.path(i.Config))
}

// Imported returns what Import makes for the auditd of this machine, and changes nothing.
func (i *Installer) Imported() ([]byte, error) {
	a, err := i.locate()
	if err != nil {
		return nil, err
	}
	dir := i.Machine.path(i.Machine.PluginDir(a))
	text, _, err := i.Import(a, dir)
	if err == nil && text == nil {
		err = nothingToImport(dir)
	}
	return text, err
}

// nothingToImport is the error where no plugin is left that could be taken over.
func nothingToImport(dir string) error {
	return fmt.Errorf("there is nothing to import: no plugin in %s is active that the relay can take over; without --import it gets the packaged configuration", dir)
}

// importConfig has Import make the configuration. It refuses that where the administrator has written one:
// only the packaged one, as it was, is replaced, and what an earlier import has written is left, also when
// the plugins have been switched off since.
func (i *Installer) importConfig(a Auditd) error {
	if i.Import == nil {
		return nil
	}

	path := i.Machine.path(i.Config)
	there, err := readIfThere(path)
	if err != nil {
		return fmt.Errorf("read the present configuration: %w", err)
	}
	dir := i.Machine.path(i.Machine.PluginDir(a))
	text, dropIns, err := i.Import(a, dir)
	if err != nil {
		return err
	}

	i.replaces = there != nil && bytes.Equal(there, i.Sample)
	switch {
	case text != nil:
	case there == nil || i.replaces:
		return nothingToImport(dir)
	default:
		i.Say("nothing to import: no plugin in %s is active that the relay can take over", dir)
		return nil
	}

	if there != nil && !i.replaces && !bytes.Equal(there, text) {
		return fmt.Errorf("%s is there already and not the packaged one, so nothing was changed: take what you need of `audisp-relay install --import --print`, or move the file away", path)
	}
	i.made, i.taken = text, dropIns
	return nil
}

// installConfig writes the configuration where there is none, and Import's also in the place of
// the packaged one.
func (i *Installer) installConfig() error {
	text := i.Sample
	if i.made != nil {
		text = i.made
	}
	path := i.Machine.path(i.Config)
	_, err := os.Stat(path)
	if err == nil && !i.replaces {
		i.Say("left the configuration %s as it is", path)
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = i.Machine.writeFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("install the configuration: %w", err)
	}
	i.wrote = i.made != nil
	i.say("wrote the configuration %s", path)
	return nil
}

// apply makes a relay that runs read the configuration that Import has made.
func (i *Installer) apply(pid int) error {
	switch {
	case !i.wrote:
		return nil
	case i.NoReload:
		i.Say("the plugin (pid %d) takes the configuration over with kill -HUP %d", pid, pid)
		return nil
	}

	p, err := os.FindProcess(pid) // with a pidfd: the signal cannot reach another one that got its number
	if err != nil {
		return fmt.Errorf("reload the plugin (pid %d): %w", pid, err)
	}
	defer p.Release()
	if !i.Machine.runs(pid, i.Binary) {
		return fmt.Errorf("reload the plugin: pid %d is not the relay any more: run this again", pid)
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload the plugin (pid %d): %w", pid, err)
	}
	i.say("sent the plugin (pid %d) a SIGHUP, with which it takes the configuration over", pid)
	return nil
}

// plainPath is what a shell takes as it stands.
var plainPath = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_./@%+,:=-]+$`) })

// sayTwice says how to switch off the plugins whose work the relay does now, and which auditd still
// runs. One of 2.x runs none beside the relay.
func (i *Installer) sayTwice(a Auditd) {
	if len(i.taken) == 0 || a.OneDispatcher() {
		return
	}
	i.Say("auditd still runs the plugins that were taken over, so their consumers get records twice, and a socket stays with the plugin. Switch them off:")
	for _, path := range i.taken {
		if plainPath().MatchString(path) {
			i.Say("  sed -i 's/^ *active *=.*/active = no/I' %s", path)
		} else {
			i.Say("  set active = no in %q", path)
		}
	}
	i.Say("  %s", a.reload())
}
