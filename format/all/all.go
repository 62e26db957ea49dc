// Package all has every format of events in a program that imports it. A new one is a folder
// beside this, an import and a name below.
package all

import (
	"audisp-relay/format"
	"audisp-relay/format/ecs"
	"audisp-relay/format/json"
	"audisp-relay/format/laurel"
)

func init() { format.Register(json.Kind, ecs.Kind, laurel.Kind) }
