package fleet

import (
	"strings"
	"testing"
)

func TestReadInventoryRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a b c\n":                  "list:1: 3 words",
		"\n0123 web\n":             `list:2: "0123" is no machine-id`,
		"a\x1b[2J\n":               "is no machine-id",
		strings.Repeat("x", 1<<17): "list: ",
	} {
		if _, err := ReadInventory("list", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	inv, err := ReadInventory("list", strings.NewReader("# hosts\n"+strings.ToUpper(hostA)+"\tweb 1\n"))
	if err == nil {
		t.Errorf("a name with a blank was taken: %v", inv)
	}
	inv, err = ReadInventory("list", strings.NewReader("\ufeff"+strings.ToUpper(hostA)+"\tweb-1\nweb-2\n"))
	if err != nil || inv.ids[hostOf(hostA)] != "web-1" || !inv.names["web-2"] {
		t.Errorf("%+v, %v", inv, err)
	}
}

func FuzzInventory(f *testing.F) {
	f.Add("# x\n" + hostA + " web-1\nweb-2\n")
	f.Add("a b c")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := ReadInventory("list", strings.NewReader(text))
		if err == nil {
			list, _ := inv.never(newTable())
			if len(list) != len(inv.ids)+len(inv.names) {
				t.Errorf("%d of %d hosts", len(list), len(inv.ids)+len(inv.names))
			}
		}
	})
}
