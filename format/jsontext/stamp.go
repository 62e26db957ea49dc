package jsontext

import (
	"time"

	"audisp-relay/audit/record"
)

// Stamp writes times. The second and its text are remembered, as many events share it. The zero Stamp is ready.
type Stamp struct {
	sec  int64
	text [len(`"2006-01-02T15:04:05.`)]byte
}

// Append appends the time that is so many ms after 1970, as a string of RFC 3339 in UTC; null for one
// that RFC 3339 does not have.
func (s *Stamp) Append(dst []byte, millis int64) []byte {
	if millis > record.LastMillis {
		return append(dst, "null"...)
	}
	if millis < 0 { // of no kernel
		return time.UnixMilli(millis).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`)
	}
	sec, ms := millis/1000, millis%1000
	if sec != s.sec || s.text[0] == 0 {
		s.sec = sec
		time.Unix(sec, 0).UTC().AppendFormat(s.text[:0], `"2006-01-02T15:04:05.`)
	}
	dst = append(dst, s.text[:]...)
	return append(dst, '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z', '"')
}
