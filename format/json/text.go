package json

import "audisp-relay/format/jsontext"

// appendString appends s as a JSON string. Bytes that are not UTF-8 are written as %xx, and
// counted in e.bad; with e.percent every '%', too.
func (e *Encoder) appendString(dst, s []byte) []byte {
	dst, escaped := jsontext.AppendString(dst, s, e.percent)
	e.bad += escaped
	return dst
}
