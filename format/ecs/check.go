package ecs

import (
	"strings"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"
)

// check takes out of the event, or puts right, what aucoalesce says without having looked
// at the values.
func (e *Encoder) check() {
	ev := e.doc.event
	object := &ev.Summary.Object
	if object.Primary == "unset" {
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
	e.checkVerdict()
	e.checkAddress(&ev.Source)
	e.checkAddress(&ev.Dest)
	e.completePath()
}

// checkAddress takes out an address that is a SOCKADDR's of a family which has neither IP
// addresses nor paths: the text of AF_X25 may read "10.0.0.1", and a port of vsock is another
// thing than one of TCP.
func (e *Encoder) checkAddress(addr **aucoalesce.Address) {
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

// checkVerdict says what a security module has decided, where aucoalesce says that its policy
// was violated whatever it has.
func (e *Encoder) checkVerdict() {
	ev := e.doc.event
	switch typ := e.recs[e.doc.first].typ(); {
	case e.doc.problem != "":
	case typ == auparse.AUDIT_AVC && ev.Summary.Action == "violated-selinux-policy":
		if ev.Data["seresult"] == "granted" {
			ev.Summary.Action = "granted-by-selinux-policy"
		}
	case typ == auparse.AUDIT_AVC && ev.Summary.Action == "violated-apparmor-policy", typ >= auparse.AUDIT_AA && typ < auparse.AUDIT_AA+100:
		verdict := ev.Data["apparmor"]
		if verdict == "" {
			verdict = strings.TrimPrefix(typ.String(), "APPARMOR_")
		}
		e.setAppArmor(verdict, ev.Data["operation"])
	}
}

// setAppArmor says what AppArmor has done (security/apparmor/audit.c). DENIED and KILLED, and
// they alone, are violations of a policy that is enforced.
func (e *Encoder) setAppArmor(verdict, operation string) {
	ev := e.doc.event
	action := ""
	switch verdict {
	case "DENIED", "KILLED", "KILL":
		action = "violated-apparmor-policy"
	case "ALLOWED":
		action = "allowed-by-apparmor-complain-mode"
	case "AUDIT":
		action = "audited-by-apparmor-policy"
	case "HINT":
		action = "hinted-by-apparmor"
	case "ERROR":
		action = "apparmor-error"
	case "STATUS":
		action = "reported-apparmor-status"
		kind := []string{"info"}
		switch operation {
		case "profile_load", "profile_replace":
			action, kind = "loaded-apparmor-profile", []string{"change"}
		case "profile_remove":
			action, kind = "removed-apparmor-profile", []string{"change"}
		}
		ev.ECS.Event.Category, ev.ECS.Event.Type = []string{"configuration"}, kind
	default:
		action = "reported-by-apparmor"
	}
	ev.Summary.Action = action
}
