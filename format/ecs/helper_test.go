package ecs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// parse reads a stream.
func parse(t testing.TB, text string) *record.Batch {
	t.Helper()
	b, err := records(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func records(text string) (*record.Batch, error) {
	var all record.Batch
	r := stream.NewReader(strings.NewReader(text))
	for {
		var b record.Batch
		err := r.Next(&b)
		if err == io.EOF {
			return &all, nil
		}
		if err != nil {
			return nil, err
		}
		for _, rec := range b.Recs {
			text := b.Buf[rec.Off : rec.Off+rec.Len]
			rec.Off = uint32(len(all.Buf))
			all.Buf = append(all.Buf, text...)
			all.Recs = append(all.Recs, rec)
		}
	}
}

// group puts the records of each event one after the other, in the order of the first,
// and returns where the events end.
func group(b *record.Batch) (grouped *record.Batch, ends []int) {
	grouped = &record.Batch{Buf: b.Buf}
	done := make([]bool, len(b.Recs))
	for i := range b.Recs {
		if done[i] {
			continue
		}
		grouped.Recs = append(grouped.Recs, b.Recs[i])
		for j := i + 1; j < len(b.Recs) && j < i+200; j++ {
			if !done[j] && b.SameEvent(i, j) {
				done[j] = true
				grouped.Recs = append(grouped.Recs, b.Recs[j])
			}
		}
		ends = append(ends, len(grouped.Recs))
	}
	return grouped, ends
}

// encode writes records as one event and reads it back.
func encode(t testing.TB, e *Encoder, text string) map[string]any {
	t.Helper()
	b := parse(t, text)
	return decodeLine(t, e.AppendEvent(nil, b, 0, len(b.Recs)))
}

// decodeLine is readLine for lines that must be right.
func decodeLine(t testing.TB, line []byte) map[string]any {
	t.Helper()
	leaves, err := readLine(line)
	if err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return leaves
}

// readLine reads a line of strictly valid JSON and UTF-8 in which no object has a key
// twice, and returns its leaves by their path.
func readLine(line []byte) (map[string]any, error) {
	body, err := audittest.OneLine(line)
	if err == nil && !json.Valid(body) {
		err = errors.New("not JSON")
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	leaves := map[string]any{}
	return leaves, flatten(d, "", leaves)
}

// maxDepth is how many objects are in each other at most: user.effective.group.id.
const maxDepth = 3

// flatten reads one value into leaves: path to string, number or list of these. The
// objects of a list are counted: auditd.paths.0.name.
func flatten(d *json.Decoder, path string, leaves map[string]any) error {
	tok, err := d.Token()
	if err != nil {
		return err
	}
	if strings.Count(path, ".") > maxDepth {
		return fmt.Errorf("deeper than %d: %s", maxDepth, path)
	}
	switch tok {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			k := key.(string)
			if seen[strings.ToLower(k)] {
				return fmt.Errorf("key %q twice in %q", k, path)
			}
			seen[strings.ToLower(k)] = true
			if err := flatten(d, strings.TrimPrefix(path+"."+k, "."), leaves); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		var list []any
		for i := 0; d.More(); i++ {
			sub := map[string]any{}
			if err := flatten(d, "", sub); err != nil {
				return err
			}
			if leaf, ok := sub[""]; ok {
				list = append(list, leaf)
				continue
			}
			for k, v := range sub {
				leaves[fmt.Sprintf("%s.%d.%s", path, i, k)] = v
			}
		}
		_, err = d.Token()
		if list != nil {
			leaves[path] = list
		}
	default:
		if n, ok := tok.(json.Number); ok {
			tok = string(n)
		}
		leaves[path] = tok
	}
	return err
}

// checkSchema fails when a field of the schema has a value that the schema does not allow.
func checkSchema(t fataler, leaves map[string]any) {
	t.Helper()
	for path, v := range leaves {
		val, _ := v.(string)
		ok := true
		switch top, rest, _ := strings.Cut(path, "."); {
		case path == "event.outcome":
			ok = val == "success" || val == "failure" || val == "unknown"
		case top == "user" && strings.HasPrefix(rest, "selinux."), strings.HasPrefix(path, "file.selinux."):
			ok = slices.Contains([]string{"user", "role", "domain", "level", "category"}, path[strings.LastIndexByte(path, '.')+1:])
		case (top == "user" || top == "group") && strings.HasSuffix(path, ".id"), path == "file.uid", path == "file.gid":
			n, err := strconv.ParseUint(val, 10, 32)
			ok = err == nil && n != 1<<32-1 && strconv.Itoa(int(n)) == val
		case path == "source.ip", path == "destination.ip":
			_, err := netip.ParseAddr(val)
			ok = err == nil
		case path == "source.port", path == "destination.port", path == "process.pid", path == "process.parent.pid", path == "auditd.sequence":
			_, err := strconv.ParseInt(val, 10, 64)
			ok = err == nil
		case path == "network.direction":
			ok = val == "ingress" || val == "egress"
		}
		if !ok {
			t.Errorf("%s is %q", path, v)
		}
	}
}
