package ecs

import "audisp-relay/format/jsontext"

// writer writes JSON, and what documents have in several places.
type writer struct{ jsontext.Writer }
