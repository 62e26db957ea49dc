package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Bounds of what is believed of a receiver.
const (
	maxAnswer     = 64 << 10 // of its body, unpacked too
	maxSaid       = 200      // bytes of its message that are shown
	maxRetryAfter = 5 * time.Minute
)

// protobuf is the content type of requests, and of their answers.
const protobuf = "application/x-protobuf"

// answer is what a receiver has said to a request.
type answer struct {
	status     int
	location   string // of a redirect
	retryAfter time.Duration
	rejected   int64  // log records of a request that was taken otherwise
	said       string // its message, in ASCII and one line
	flaw       error  // why it is no answer of an OTLP receiver
}

// outcome is what follows from an answer.
type outcome int

const (
	taken    outcome = iota // all of it, or all but answer.rejected
	refused                 // not to be sent again
	tooLarge                // to be sent again in smaller requests
	busy                    // to be sent again later
	misled                  // to be sent again when configuration or receiver is corrected
)

// outcome follows the OTLP specification (OTLP/HTTP Response): 429, 502, 503 and 504 are to be
// tried again, no other 4xx or 5xx is. But 401, 403, 404, 405 and 407 say nothing of the records:
// the receiver does not know who sends, or has no logs there. Records wait until that is corrected,
// as with a sink of any other type whose place is wrong; so they do after a redirect, which is not
// followed, and an answer that no OTLP receiver gives.
func (a *answer) outcome() outcome {
	switch s := a.status; {
	case s == http.StatusTooManyRequests, s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		return busy
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusNotFound, s == http.StatusMethodNotAllowed,
		s == http.StatusProxyAuthRequired, s < 200, s >= 300 && s < 400, a.flaw != nil:
		return misled
	case s == http.StatusRequestEntityTooLarge:
		return tooLarge
	case s >= 400:
		return refused
	}
	return taken
}

// readAnswer reads a response, whose body it reads to its end or bound. now is when it came.
func readAnswer(r *http.Response, now time.Time) (*answer, error) {
	a := &answer{status: r.StatusCode, location: r.Header.Get("Location"), retryAfter: parseRetryAfter(r.Header.Get("Retry-After"), now)}
	body, err := readBody(r)
	switch {
	case errors.Is(err, errAnswer) && a.status/100 == 2:
		a.flaw = err
		return a, nil
	case errors.Is(err, errAnswer): // the status says enough
		return a, nil
	case err != nil:
		return nil, err
	}

	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if a.status/100 == 2 {
		a.readSuccess(kind, body)
	} else {
		a.said = printable(readStatus(kind, body))
	}
	return a, nil
}

// errAnswer is an answer that is not to be read.
var errAnswer = errors.New("its answer cannot be read")

// readBody reads the body of a response. A receiver was not asked to pack it.
func readBody(r *http.Response) ([]byte, error) {
	plain := io.Reader(r.Body)
	switch encoding := r.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(io.LimitReader(r.Body, maxAnswer))
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %v", errAnswer, err)
		}
		plain = z
	default:
		return nil, fmt.Errorf("%w: it has the encoding %s", errAnswer, printable(encoding))
	}

	body, err := io.ReadAll(io.LimitReader(plain, maxAnswer+1))
	switch {
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errAnswer, maxAnswer)
	case err != nil && plain != io.Reader(r.Body):
		return nil, fmt.Errorf("%w: gzip: %v", errAnswer, err)
	}
	return body, err
}

// readSuccess reads an ExportLogsServiceResponse. Many receivers answer with nothing, or in JSON
// whatever they were sent; what else says 200 may be any web server.
func (a *answer) readSuccess(kind string, body []byte) {
	var response collector.ExportLogsServiceResponse
	var err error
	switch {
	case kind == protobuf: // an empty one says that all is well
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &response)
	case len(bytes.TrimSpace(body)) == 0:
		return
	case kind == "application/json":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, &response)
	default:
		a.flaw = fmt.Errorf("%w: it is %s, no OTLP: %s", errAnswer, cmp.Or(printable(kind), "of no type"), printable(string(body)))
		return
	}
	if err != nil {
		a.flaw = fmt.Errorf("%w: it is no ExportLogsServiceResponse: %s", errAnswer, printable(err.Error()))
		return
	}
	a.rejected = max(response.GetPartialSuccess().GetRejectedLogRecords(), 0)
	a.said = printable(response.GetPartialSuccess().GetErrorMessage())
}

// readStatus returns the message of a google.rpc.Status (its field 2), or the text that stands in
// the place of one.
func readStatus(kind string, body []byte) string {
	if kind != protobuf {
		return string(body)
	}
	for len(body) > 0 {
		number, typ, n := protowire.ConsumeTag(body)
		if n < 0 {
			return ""
		}
		body = body[n:]
		if number == 2 && typ == protowire.BytesType {
			text, _ := protowire.ConsumeBytes(body) // nil if it is cut
			return string(text)
		}
		if n = protowire.ConsumeFieldValue(number, typ, body); n < 0 {
			return ""
		}
		body = body[n:]
	}
	return ""
}

// printable is the beginning of a text of the receiver's in one line of ASCII.
func printable(text string) string {
	text = strings.Join(strings.Fields(text[:min(len(text), 8*maxSaid)]), " ")
	if len(text) > maxSaid {
		text = text[:maxSaid] + "..."
	}
	if text == "" {
		return ""
	}
	return strconv.QuoteToASCII(text)
}

// parseRetryAfter reads a number of seconds or a time (RFC 9110, section 10.2.3), 0 for what is
// neither or past.
func parseRetryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseUint(text, 10, 64)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
