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

Exit code 1 when there is a forged one or one without mac. A marker that was taken
out leaves no trace.`,
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

// maxMarker is longer than any marker, in any format: what is longer is none.
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
	text, mac, ok := markerOf(bytes.TrimRight(line, "\r\n"))
	if !ok {
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

// markerOfJSON rebuilds the text of a marker in format json.
func markerOfJSON(line []byte) (text, mac []byte, ok bool) {
	var m struct {
		Type, ID, Op, Sink, Cause, Res, Mac any
		Records, Events, First, Last        any
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&m) != nil || m.Type != "DAEMON_ERR" || m.Op != "relay-loss" {
		return nil, nil, false
	}
	text = fmt.Appendf(nil, "type=DAEMON_ERR msg=audit(%v): op=relay-loss sink=%v cause=%v records=%v events=%v first=%v last=%v res=%v",
		m.ID, m.Sink, m.Cause, m.Records, m.Events, m.First, m.Last, m.Res)
	if m.Mac != nil {
		mac = fmt.Append(nil, m.Mac)
	}
	return text, mac, true
}
