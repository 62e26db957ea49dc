package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/plugin/replay"
	"audisp-relay/queue"
	"audisp-relay/state"
)

func newVerifyCmd() *cobra.Command {
	var keyFile, stateDir string
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Distinguish the relay's own loss markers from forged ones",
		Long: `verify reads what a sink has delivered, lines of the formats string or json,
compressed or not ("-": stdin), and says of each loss marker whether this relay made it,
and of each checkpoint in lines of records:

  ok           it is signed with the relay's key
  repeated     it is, and came before: delivered again after a restart, or copied
  forged       it has a signature that is not this relay's, or was changed
  without mac  it has none: any program may have made it
  not checked  it is in another format

Exit code 1 when there is one of the last three. A marker that was taken out leaves
no trace.`,
		Args: atLeastOne,
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "the key, a `FILE` (default marker.key in --state-dir)")
	cmd.Flags().StringVar(&stateDir, "state-dir", config.DefaultStateDir, "state_dir of the plugin's configuration")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := state.ReadKey(cmp.Or(keyFile, filepath.Join(stateDir, state.KeyName)))
		if err != nil {
			return err
		}
		v := &verifier{key: key, out: bufio.NewWriter(cmd.OutOrStdout()), seen: make(map[string]bool)}
		for _, path := range oldestFirst(args) {
			if err = v.file(path); err != nil {
				break
			}
		}
		if err = errors.Join(err, v.out.Flush()); err == nil && v.bad {
			return exitError{1}
		}
		return err
	}
	return cmd
}

// verifier checks markers.
type verifier struct {
	key  []byte
	out  *bufio.Writer
	seen map[string]bool // signatures
	bad  bool
}

// maxMarker is longer than any marker, in any format.
const maxMarker = 64 << 10

func (v *verifier) file(path string) error {
	in, err := replay.OpenInput(path)
	if err != nil {
		return err
	}
	defer in.Close()

	r := bufio.NewReaderSize(in, maxMarker)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			v.line(path, n, line)
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

func (v *verifier) line(path string, n int, line []byte) {
	line = bytes.TrimRight(line, "\r\n")
	text, mac, ok := markerOf(line)
	if !ok {
		if ofAnotherFormat(line) {
			v.bad = true
			fmt.Fprintf(v.out, "%s:%d: not checked: a marker in a format other than string and json\n", escape(nil, []byte(path)), n)
		}
		return
	}
	verdict := "ok"
	switch {
	case len(mac) == 0:
		verdict = "without mac"
	case !hmac.Equal(mac, queue.MAC(v.key, text)):
		verdict = "forged"
	case v.seen[string(mac)]:
		verdict = "repeated"
	default:
		v.seen[string(mac)] = true
	}
	v.bad = v.bad || verdict == "forged" || verdict == "without mac"
	fmt.Fprintf(v.out, "%s:%d: %s: %s\n", escape(nil, []byte(path)), n, verdict, escape(nil, text))
}

// markerOf returns the text of a marker or a checkpoint, from "type=" to before its mac, and that;
// neither where the line is something else.
func markerOf(line []byte) (text, mac []byte, ok bool) {
	if bytes.HasPrefix(line, []byte("{")) {
		return markerOfJSON(line)
	}
	text = line
	if !bytes.HasPrefix(line, []byte("type=")) {
		// after node=, or what a syslog daemon puts in front of a message
		k := bytes.Index(line, []byte(" type="))
		if k < 0 {
			return nil, nil, false
		}
		text = line[k+1:]
	}

	marker := bytes.HasPrefix(text, []byte("type=DAEMON_ERR msg=audit(")) && bytes.Contains(text, []byte("op=relay-loss"))
	checkpoint := bytes.HasPrefix(text, []byte("type=DAEMON_CONFIG msg=audit(")) && bytes.Contains(text, []byte("op=relay-checkpoint"))
	if !marker && !checkpoint {
		return nil, nil, false
	}
	if k := bytes.LastIndex(text, []byte(" mac=")); k >= 0 {
		text, mac = text[:k], text[k+len(" mac="):]
	}
	return text, mac, true
}

// markerMembers are the members of a marker in format json: type and op say what it is, the others are what its mac is over, and that.
var markerMembers = []string{"type", "op", "id", "sink", "cause", "records", "events", "first", "last", "res", "mac"}

// markerOfJSON rebuilds the text of a marker in format json. One that a reader may take for another than its mac is for has
// a text to which no mac fits.
func markerOfJSON(line []byte) (text, mac []byte, ok bool) {
	m, odd, err := readMembers(line)
	if err != nil || m["type"] != markerType || m["op"] != markerOp {
		return nil, nil, false
	}
	text = fmt.Appendf(nil, "type=DAEMON_ERR msg=audit(%v): op=relay-loss sink=%v cause=%v records=%v events=%v first=%v last=%v res=%v",
		m["id"], m["sink"], m["cause"], m["records"], m["events"], m["first"], m["last"], m["res"])
	if odd != "" {
		text = fmt.Appendf(text, " (%s)", odd)
	}
	if m["mac"] != nil {
		mac = fmt.Append(nil, m["mac"])
	}
	return text, mac, true
}

// What type and op of a marker are.
const markerType, markerOp = "DAEMON_ERR", "relay-loss"

// readMembers reads the members of an object that a marker has. odd says what readers of JSON take differently: a member that is
// there twice, or with other letters, of which Go takes the last and others the first or the one that is written as they expect;
// and text after the object.
func readMembers(line []byte) (members map[string]any, odd string, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if _, err = d.Token(); err != nil {
		return nil, "", err
	}

	members = make(map[string]any)
	for d.More() {
		var value any
		name, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, "", err
		}
		text, _ := name.(string) // it is one: the decoder checks that
		i := slices.IndexFunc(markerMembers, func(known string) bool { return strings.EqualFold(known, text) })
		if i < 0 {
			continue
		}
		key := markerMembers[i]
		before, twice := members[key]
		if twice || text != key {
			odd = "with two readings of " + key
		}
		if before != markerType && before != markerOp { // a marker by any reading
			members[key] = value
		}
	}

	if _, err = d.Token(); err != nil {
		return nil, "", err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		odd = "with more text after it"
	}
	return members, odd, nil
}

// ofAnotherFormat reports whether a line is an object with a marker somewhere in it, as formats other than json have one.
func ofAnotherFormat(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("{")) || !bytes.Contains(line, []byte(markerOp)) {
		return false
	}
	var v map[string]any
	if json.Unmarshal(line, &v) != nil || v["record_types"] != nil { // format json: a program's record with such words
		return false
	}
	return hasMarker(v)
}

// hasMarker looks for the fields of a marker. Nesting is bounded by the length of a line, and by package json.
func hasMarker(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if v["op"] == markerOp && v["sink"] != nil && v["cause"] != nil {
			return true
		}
		for _, inner := range v {
			if hasMarker(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasMarker)
	}
	return false
}
