// Package stig answers the rules of DISA's STIGs that concern the off-loading of audit records: for
// each the evidence that this host gives, or what is missing and what to set. docs/stig.md
// explains each rule.
//
// An answer claims no more than what was looked at. What a rule asks of people, of another host or
// of a central server, is not visible from here, and the report says so.
package stig

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/host"
	"audisp-relay/plugin"
)

// Status is the answer to a rule.
type Status string

// The answers, from the best to the worst.
const (
	Satisfied Status = "satisfied"
	Ask       Status = "ask" // not visible from this host, or only in part: an auditor has to ask
	Gap       Status = "gap"
)

// Host is what the rules are judged by. The functions of this package only read it.
type Host struct {
	Root string // before every path that is looked at; "" but in tests

	Names     []string // of this host, "localhost" among them
	Addresses []net.IP // of its network cards

	Now       time.Time
	Binary    string // this program
	Config    *config.Config
	ConfigErr error // why there is none, or what is wrong with it
	Auditd    host.Auditd
	AuditdErr error
	Relay     *plugin.Report // of the running relay
	RelayErr  error

	FIPSModule string // of this program, see plugin.FIPSModule
	KernelFIPS bool   // the kernel is in FIPS mode
}

// New returns what the rules are judged by, from facts about this machine.
func New(f *doctor.Facts) *Host {
	h := &Host{
		Now: f.Now, Config: f.Config.Value, ConfigErr: f.Config.Err, Auditd: f.Auditd.Value, AuditdErr: f.Auditd.Err,
		Names: ownNames(), Addresses: ownAddresses(), FIPSModule: plugin.FIPSModule(),
	}
	h.Binary, _ = os.Executable() // "" without /proc
	if errors.Is(h.ConfigErr, fs.ErrNotExist) {
		h.Config, h.ConfigErr = config.Default(), nil
	}

	if h.AuditdErr == nil && f.ConfError != nil {
		h.AuditdErr = f.ConfError
	}
	if h.RelayErr = f.Report.Err; h.RelayErr == nil {
		h.Relay = f.Report.Value
	}
	text, _ := os.ReadFile("/proc/sys/crypto/fips_enabled") // none: a kernel without it
	h.KernelFIPS = strings.TrimSpace(string(text)) == "1"
	return h
}

// path is p on the machine of h.
func (h *Host) path(p string) string { return filepath.Join(h.Root, p) }

// Answer is what was found of one rule. All texts are one printable line each.
type Answer struct {
	Rules    []string `json:"rules"`         // ids: RHEL-09-652055, ..., which ask the same
	SRG      []string `json:"srg,omitempty"` // requirements that they implement
	Title    string   `json:"title"`
	Status   Status   `json:"status"`
	Evidence []string `json:"evidence"`       // what was seen, and where
	Set      []string `json:"todo,omitempty"` // what to set, or whom to ask what
}

// seen notes evidence.
func (a *Answer) seen(text string) { a.Evidence = append(a.Evidence, text) }

// gap notes what is missing, and what ends it.
func (a *Answer) gap(evidence, set string) { a.lower(Gap, evidence, set) }

// ask notes what cannot be seen from here, and what to ask.
func (a *Answer) ask(evidence, set string) { a.lower(Ask, evidence, set) }

// lower makes the answer at most this good.
func (a *Answer) lower(to Status, evidence, set string) {
	order := []Status{Satisfied, Ask, Gap}
	if slices.Index(order, to) > slices.Index(order, a.Status) {
		a.Status = to
	}
	if evidence != "" {
		a.Evidence = append(a.Evidence, evidence)
	}
	if set != "" && !slices.Contains(a.Set, set) {
		a.Set = append(a.Set, set)
	}
}

// rule is one that is asked.
type rule struct {
	ids, srg []string
	title    string
	judge    func(h *Host, a *Answer) // begins with Satisfied
}

// Evaluate answers all rules, in the order of docs/stig.md.
func Evaluate(h *Host) []Answer {
	answers := make([]Answer, 0, len(rules))
	for _, r := range rules {
		a := Answer{Rules: r.ids, SRG: r.srg, Title: r.title, Status: Satisfied}
		r.judge(h, &a)
		for _, list := range [][]string{a.Evidence, a.Set} {
			for i := range list {
				list[i] = doctor.Printable(list[i])
			}
		}
		if len(a.Evidence) == 0 { // a rule is never satisfied by nothing
			a.ask("nothing was looked at", "see docs/stig.md")
		}
		answers = append(answers, a)
	}
	return answers
}

// rules in the order of docs/stig.md, which has a section for each.
var rules = []rule{
	{[]string{"RHEL-09-652055", "RHEL-10-200642"}, []string{"SRG-OS-000342", "SRG-OS-000479"},
		"Audit records are off-loaded to another system", offload},
	{[]string{"RHEL-09-652045", "RHEL-09-652050"}, []string{"SRG-OS-000342"},
		"Off-loaded records are encrypted on their way", encryption},
	{[]string{"SLES-15-030680"}, []string{"SRG-OS-000342"},
		"Off-loading uses Kerberos", kerberos},
	{[]string{"RHEL-09-652040"}, nil,
		"The server that records go to is authenticated", authentication},
	{[]string{"RHEL-09-653065", "OL08-00-030700"}, nil,
		"A full queue of auditd's is acted upon", overflow},
	{[]string{"OL07-00-030320", "OL07-00-030321", "SLES-12-020100", "SLES-12-020110", "SLES-15-030800", "SLEM-05-653045"}, nil,
		"A full disk or an unreachable server is acted upon", failureActions},
	{[]string{"RHEL-09-653060", "RHEL-10-500045"}, nil,
		"Off-loaded records bear the name of the host", nodeName},
	{[]string{"RHEL-09-653035", "RHEL-09-653050", "RHEL-10-500040", "RHEL-10-500105", "RHEL-10-500205"}, nil,
		"Storage for audit records that fills up is warned of and acted upon", storageActions},
	{[]string{"RHEL-09-653030", "RHEL-10-500100", "OL08-00-030660", "UBTU-22-653035"}, nil,
		"There is room for a week of audit records", week},
	{[]string{"RHEL-10-200631", "UBTU-22-651030"}, []string{"SRG-OS-000278"},
		"The integrity of the audit tools is watched", integrity},
	{[]string{"RHEL-10-400300", "RHEL-10-400305", "RHEL-10-400450", "RHEL-08-030070"}, nil,
		"Audit tools and records are root's, and closed to others", permissions},
	{[]string{"RHEL-09-671010"}, []string{"SRG-OS-000478"},
		"Cryptography is FIPS-validated", fips},
}
