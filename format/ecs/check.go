package ecs

import (
	"cmp"
	"strings"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"
)

// correctEvent takes out of the event, or puts right, what aucoalesce says without having looked
// at the values.
func (e *Encoder) correctEvent() {
	ev := e.doc.event
	if object := &ev.Summary.Object; object.Primary == "unset" {
		object.Primary = ""
	}
	for k := range e.recs {
		if k == e.doc.main || !e.recs[k].unsets {
			continue
		}
		for _, f := range e.fields[e.recs[k].from:e.recs[k].to] {
			if f.unset && ev.Data[f.key] == "unset" {
				delete(ev.Data, f.key)
			}
		}
	}
	e.correctVerdict()
	e.correctAddress(&ev.Source)
	e.correctAddress(&ev.Dest)
	e.completePath()
}

// correctAddress takes out an address that is a SOCKADDR's of a family which has neither IP
// addresses nor paths: the text of AF_X25 may read "10.0.0.1", and a port of vsock is another
// thing than one of TCP.
func (e *Encoder) correctAddress(addr **aucoalesce.Address) {
	a, data := *addr, e.doc.event.Data
	if a == nil || a.IP != data["socket_addr"] || a.Port != data["socket_port"] || a.Path != data["socket_path"] {
		return
	}
	switch data["socket_family"] {
	case "ipv4", "ipv6", "unix":
	default:
		*addr = nil
	}
}

// correctVerdict says what a security module has decided, where aucoalesce says that its policy
// was violated whatever it decided.
func (e *Encoder) correctVerdict() {
	ev := e.doc.event
	switch typ := e.recs[e.doc.first].typ(); {
	case e.doc.problem != "":
	case typ == auparse.AUDIT_AVC && ev.Summary.Action == "violated-selinux-policy":
		if ev.Data["seresult"] == "granted" {
			ev.Summary.Action = "granted-by-selinux-policy"
		}
	case typ == auparse.AUDIT_AVC && ev.Summary.Action == "violated-apparmor-policy", typ >= auparse.AUDIT_AA && typ < auparse.AUDIT_AA+100:
		e.setAppArmor(cmp.Or(ev.Data["apparmor"], strings.TrimPrefix(typ.String(), "APPARMOR_")), ev.Data["operation"])
	}
}

// appArmorActions are what AppArmor has done (security/apparmor/audit.c). DENIED and KILLED, and
// they alone, are violations of a policy that is enforced.
var appArmorActions = map[string]string{
	"DENIED":  "violated-apparmor-policy",
	"KILLED":  "violated-apparmor-policy",
	"KILL":    "violated-apparmor-policy",
	"ALLOWED": "allowed-by-apparmor-complain-mode",
	"AUDIT":   "audited-by-apparmor-policy",
	"HINT":    "hinted-by-apparmor",
	"ERROR":   "apparmor-error",
	"STATUS":  "reported-apparmor-status",
}

// setAppArmor says what AppArmor has done, and of a STATUS what happened to its configuration.
func (e *Encoder) setAppArmor(verdict, operation string) {
	ev := e.doc.event
	ev.Summary.Action = cmp.Or(appArmorActions[verdict], "reported-by-apparmor")
	if verdict != "STATUS" {
		return
	}

	kind := "info"
	switch operation {
	case "profile_load", "profile_replace":
		ev.Summary.Action, kind = "loaded-apparmor-profile", "change"
	case "profile_remove":
		ev.Summary.Action, kind = "removed-apparmor-profile", "change"
	}
	ev.ECS.Event.Category, ev.ECS.Event.Type = []string{"configuration"}, []string{kind}
}
