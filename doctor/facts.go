package doctor

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Fact is something that was looked for on the machine: its value, or why that is not known.
type Fact[T any] struct {
	Value T
	Err   error
}

// Known reports whether there is a value.
func (f Fact[T]) Known() bool { return f.Err == nil }

// errNotLooked is what a fact has that was not asked for.
var errNotLooked = errors.New("was not looked at")

// Facts are what all checks judge by. Gather makes one; nothing changes it after that.
type Facts struct {
	Now     time.Time
	Host    string        // its name
	Version string        // of this program
	Took    time.Duration // gathering

	Limits Limits
}

// Limits are the numbers from which on something is a finding.
type Limits struct{}

// Gap is something that could not be found out.
type Gap struct {
	What string // as in "the kernel's audit status"
	Err  error
}

// Gaps lists the facts that could not be gathered although they should be there.
func (f *Facts) Gaps() []Gap { return nil }

// CodeUnknown is the code of the finding that something could not be found out.
const CodeUnknown = "AR-UNKNOWN"

// unknown makes one finding of all gaps.
func unknown(gaps []Gap) []Finding {
	if len(gaps) == 0 {
		return nil
	}
	var seen []string
	for _, g := range gaps {
		seen = append(seen, fmt.Sprintf("%s: %v", g.What, g.Err))
	}
	f := Finding{
		Code: CodeUnknown, Title: "Something could not be looked at", Severity: Warn,
		Text:     fmt.Sprintf("%d facts could not be found out, so that the checks that need them say nothing", len(gaps)),
		Evidence: strings.Join(seen, "; "),
		Fix:      "run audisp-relay doctor as root",
	}
	f.clean()
	return []Finding{f}
}
