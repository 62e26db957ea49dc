package stig

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"audisp-relay/config"
)

// asked are the ids of the STIGs that concern the off-loading of audit records: what is added to one of them is
// added to the rules and to docs/stig.md, too.
var asked = strings.Fields(`
	RHEL-09-652055 RHEL-10-200642 SRG-OS-000342 SRG-OS-000479
	RHEL-09-652045 RHEL-09-652050 SLES-15-030680
	RHEL-09-652040
	RHEL-09-653065 OL08-00-030700
	OL07-00-030320 OL07-00-030321 SLES-12-020100 SLES-12-020110 SLES-15-030800 SLEM-05-653045
	RHEL-09-653060 RHEL-10-500045
	RHEL-09-653035 RHEL-09-653050 RHEL-10-500040 RHEL-10-500105 RHEL-10-500205
	RHEL-09-653030 RHEL-10-500100 OL08-00-030660 UBTU-22-653035
	RHEL-10-200631 UBTU-22-651030 SRG-OS-000278
	RHEL-10-400300 RHEL-10-400305 RHEL-10-400450 RHEL-08-030070
	RHEL-09-671010 SRG-OS-000478`)

// TestAllThatIsAskedIsAnswered: the answers have every id, with evidence or a word of what was not seen, and no
// other; each rule's id is in one answer.
func TestAllThatIsAskedIsAnswered(t *testing.T) {
	var answered, ruled []string
	for _, a := range Evaluate(goodHost(t)) {
		ruled = append(ruled, a.Rules...)
		answered = append(append(answered, a.Rules...), a.SRG...)
		if len(a.Evidence) == 0 || slices.Contains(a.Evidence, "nothing was looked at") {
			t.Errorf("%v has no evidence: %+v", a.Rules, a)
		}
	}
	if twice := sortedSet(ruled); len(twice) != len(ruled) {
		t.Errorf("%d ids in %d places: %q", len(twice), len(ruled), ruled)
	}
	if got, want := sortedSet(answered), sortedSet(asked); !slices.Equal(got, want) {
		t.Errorf("answered\n%q, want\n%q", got, want)
	}
}

func sortedSet(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// ruleID is an id of a STIG or of the guide that they are made from.
var ruleID = regexp.MustCompile(`\b(?:SRG-OS-\d{6}|[A-Z]{2,4}\d*-\d\d-\d{6})\b`)

// TestRulesDocumented: docs/stig.md has a section for each rule, in their order, with its ids, and no others.
func TestRulesDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/stig.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(doc), "\n## ")[1:]
	if len(sections) != len(rules) {
		t.Errorf("docs/stig.md has %d sections for %d rules", len(sections), len(rules))
	}
	for i, r := range rules[:min(len(rules), len(sections))] {
		title, text, _ := strings.Cut(sections[i], "\n")
		if title != r.title {
			t.Errorf("section %d of docs/stig.md is %q, want %q", i+1, title, r.title)
		}
		_, line, _ := strings.Cut(text, "Rules: ")
		line, _, _ = strings.Cut(line, ".\n")
		if got, want := ruleID.FindAllString(line, -1), append(slices.Clone(r.ids), r.srg...); !slices.Equal(got, want) {
			t.Errorf("%s: docs/stig.md names %q, want %q", r.title, got, want)
		}
		for _, id := range ruleID.FindAllString(text, -1) {
			if !slices.Contains(r.ids, id) && !slices.Contains(r.srg, id) {
				t.Errorf("%s: docs/stig.md names %s, which is not evaluated there", r.title, id)
			}
		}
	}
}

// TestEveryServerIsJudged: what serverOf does not know counts as a program of this host.
func TestEveryServerIsJudged(t *testing.T) {
	settings := map[string]string{
		"syslog": "transport = \"tcp\"\naddress = \"h:514\"\n", "otlp": "url = \"https://h\"\n", "nats": "servers = [\"tls://h:4222\"]\n",
	}
	for _, kind := range config.Kinds() {
		if _, own := config.KeysOf(kind); kind == "unix" || !slices.Contains(own, "network_failure_action") {
			continue // no type for servers: a collector that a unix sink connects to is of this host
		}
		if settings[kind] == "" {
			t.Errorf("%s delivers to a server, and is not tried here", kind)
			continue
		}
		c := parse(t, "[sinks.x]\ntype = \""+kind+"\"\n"+settings[kind])
		if to := serverOf(&c.Sinks[0]); to == nil || !slices.Equal(to.names, []string{"h"}) {
			t.Errorf("%s: %+v", kind, to)
		}
	}
}
