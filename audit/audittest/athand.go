package audittest

import (
	"os"
	"testing"

	"audisp-relay/host/athand"
)

// AtHand returns the memory of a monitor for events at hand, and the same as a worker has it to which these events are poison.
func AtHand(t testing.TB, poison ...athand.ID) (*os.File, *athand.Page) {
	t.Helper()
	f, err := athand.NewFile()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd, err := athand.Duplicate(f)
	if err != nil {
		t.Fatal(err)
	}
	page, err := athand.Map(fd, poison)
	if err != nil {
		t.Fatal(err)
	}
	return f, page
}
