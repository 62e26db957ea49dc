package fleet

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"audisp-relay/fleet/wire"
)

// maxInventory bounds how many hosts an inventory has.
const maxInventory = 4 << 20

// Inventory is a list of the hosts that there should be.
type Inventory struct {
	ids   map[hostID]string // machine-id and the name beside it
	names map[string]bool   // hosts that only have a name
}

// ReadInventory reads one host a line: a machine-id, which a name may follow, or a host name alone.
// Empty lines and those that begin with # count nothing. name stands in errors.
func ReadInventory(name string, r io.Reader) (*Inventory, error) {
	inv := &Inventory{ids: make(map[hostID]string), names: make(map[string]bool)}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(strings.TrimPrefix(lines.Text(), "\ufeff")) // which editors of Windows put in front
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		first := wire.Clean(words[0], shownName)
		switch {
		case len(inv.ids)+len(inv.names) == maxInventory:
			return nil, fmt.Errorf("%s:%d: more than %d hosts", name, n, maxInventory)
		case len(words) > 2:
			return nil, fmt.Errorf("%s:%d: %d words, must be a machine-id and a name, or one of them", name, n, len(words))
		case wire.ValidHost(strings.ToLower(words[0])):
			inv.ids[hostOf(strings.ToLower(words[0]))] = wire.Clean(strings.Join(words[1:], ""), shownName)
		case len(words) == 2 || first != words[0]:
			return nil, fmt.Errorf("%s:%d: %.64q is no machine-id (32 hexadecimal digits, cat /etc/machine-id)", name, n, words[0])
		default:
			inv.names[first] = true
		}
	}

	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return inv, nil
}

// never returns the hosts of the inventory that no row has, and how many hosts of rows are not in
// it. A nil Inventory has an opinion of none.
func (inv *Inventory) never(t *table) (list []Host, unlisted int) {
	if inv == nil {
		return nil, 0
	}
	named := make(map[string]bool)
	for i := range int32(t.count) {
		r := t.row(i)
		_, byID := inv.ids[r.host]
		byName := inv.names[r.name]
		if byName {
			named[r.name] = true
		}
		if !byID && !byName && t.first(r.host) == i {
			unlisted++
		}
	}

	for id, name := range inv.ids {
		if t.first(id) < 0 {
			list = append(list, neverSeen(id.String(), name))
		}
	}
	for name := range inv.names {
		if !named[name] {
			list = append(list, neverSeen("", name))
		}
	}
	slices.SortFunc(list, func(a, b Host) int { return strings.Compare(a.Host+a.Name, b.Host+b.Name) })
	return list, unlisted
}

func neverSeen(id, name string) Host {
	return Host{Host: id, Name: name, State: NeverSeen, Findings: []Finding{{NeverSeen, "in the inventory, not in any stream"}}}
}
