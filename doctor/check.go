package doctor

import (
	"fmt"
	"slices"
	"time"
)

// Check looks for one kind of trouble.
type Check struct {
	Code     string   // stable, see Finding.Code
	Title    string   // what is wrong where it finds something
	Severity Severity // of what it finds, unless a finding has another one
	// DependsOn are codes of findings that explain what this check finds.
	DependsOn []string
	// After is how long a finding has to hold before a repeated run reports it.
	After time.Duration
	// Find returns what is wrong, nothing where all is well or the facts that it needs are
	// not known. It only reads f, does not block, and copies what it keeps.
	Find func(f *Facts) []Finding
}

// run returns what the check finds, completed and printable. A panic over facts that were not
// foreseen costs this check only.
func (c *Check) run(f *Facts) (found []Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, fmt.Errorf("check %s failed: %v", c.Code, p)
		}
	}()
	for _, finding := range c.Find(f) {
		finding.Code, finding.Title = c.Code, c.Title
		if finding.Severity == None {
			finding.Severity = c.Severity
		}
		finding.DependsOn, finding.After = c.DependsOn, c.After
		finding.clean()
		found = append(found, finding)
	}
	return found, nil
}

// Diagnose runs the checks and sorts what they find: Findings have causes of their own, Hidden
// follow from one of them. What could not be gathered, and a check that failed, is finding
// CodeUnknown. Of f it only reads.
func Diagnose(f *Facts, checks []Check) *Report {
	r := &Report{Time: f.Now, Host: Printable(f.Host), Version: f.Version, Took: f.Took, Checks: len(checks), Findings: []Finding{}, Hidden: []Finding{}}
	gaps := f.Gaps()
	var all []Finding
	for i := range checks {
		found, err := checks[i].run(f)
		if err != nil {
			gaps = append(gaps, Gap{"check " + checks[i].Code, err})
		}
		all = append(all, found...)
	}
	all = append(all, f.unknown(gaps)...)
	slices.SortStableFunc(all, Finding.compare)

	for i := range all {
		if all[i].HiddenBy = explains(all, &all[i]); all[i].HiddenBy != "" {
			r.Hidden = append(r.Hidden, all[i])
		} else {
			r.Findings = append(r.Findings, all[i])
		}
	}
	return r
}

// explains returns the code of the finding among all from which f follows, "" if none. A finding
// about one subject explains those about the same one only, and none explains a worse one: what is
// hidden would be missing from the exit code. One that is hidden itself counts, too: what follows
// from it follows from what hides it.
func explains(all []Finding, f *Finding) string {
	for _, code := range f.DependsOn {
		for i := range all {
			other := &all[i]
			sameSubject := other.Subject == "" || f.Subject == "" || other.Subject == f.Subject
			if other.Code == code && other.Severity >= f.Severity && sameSubject {
				return code
			}
		}
	}
	return ""
}
