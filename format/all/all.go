// Package all has every format of events in a program that imports it. A new one is a folder
// beside this, an import and a name below.
package all

import (
	"audisp-relay/format"
	"audisp-relay/format/ecs"
	"audisp-relay/format/joined"
	"audisp-relay/format/json"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

func init() { format.Register(json.Kind, ecs.Kind, ocsf.Kind, laurel.Kind, joined.Kind) }
