package ocsf

import (
	"errors"
	"slices"

	"audisp-relay/format/jsontext"
)

// IsEvent reports whether an object may be an event as this package writes it.
func IsEvent(o jsontext.Object) bool { return o.Has("class_uid") }

// AppendRecords appends the records of an event that this package has written, as the format string has
// them, a line each: raw_data is just that.
func AppendRecords(dst []byte, event jsontext.Object) (out []byte, err error) {
	text, ok := event.Get("raw_data").(string)
	if !ok || text == "" {
		return dst, errors.New("there is no raw_data")
	}
	metadata, _ := event.Get("metadata").(jsontext.Object)
	if slices.Contains(metadata.List("labels"), any("encoding:percent")) {
		v, err := jsontext.Unpercent(text)
		if err != nil {
			return dst, err
		}
		text = v.(string)
	}
	if dst = append(dst, text...); dst[len(dst)-1] != '\n' {
		dst = append(dst, '\n')
	}
	return dst, nil
}
