// Package wire is what a fleet's relays, its engine and its readers agree on: subjects and
// streams, the header of a batch, and the checkpoint. It has constants, types and their
// reading and writing only, and knows no engine: docs/fleet.md describes the same for others.
//
// A batch is what a sink sends at once: records in its format, each a line with its newline
// (or a frame), compressed as a whole where the header says so. The header says which records
// of which host these are, so that a reader sees what is missing without opening a batch.
package wire

import (
	"crypto/rand"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// Kinds of subjects, the second token of each.
const (
	Records     = "rec"  // batches of records
	Events      = "evt"  // batches of events: json, ecs
	Checkpoints = "ckpt" // a checkpoint each
)

// Streams that hold them. StreamRecords is several where it is partitioned: StreamOf.
const (
	StreamRecords     = "AUDIT_REC"
	StreamEvents      = "AUDIT_EVT"
	StreamCheckpoints = "AUDIT_CKPT"
)

// MaxBody is the most bytes that a reader unpacks of one batch. A sink makes none larger.
const MaxBody = 64 << 20

// MaxPartitions bounds how many streams hold records.
const MaxPartitions = 1024

// prefix is the first token of all subjects.
const prefix = "audit"

// hostLen is how many hexadecimal digits a machine-id or boot id has, epochLen an epoch.
const (
	hostLen  = 32
	epochLen = 16
)

// Subject returns where a host publishes: "audit.rec.HOST". host is a machine-id (ValidHost).
// A server may put a partition between (PartSubject) by a mapping of subjects.
func Subject(kind, host string) string { return prefix + "." + kind + "." + host }

// AllSubjects returns what Subject gives for any host, as a stream or a reader names it.
func AllSubjects(kind string) string { return prefix + "." + kind + ".*" }

// PartSubject returns the subject of a host in a partition: "audit.rec.7.HOST".
func PartSubject(kind string, partition int, host string) string {
	return prefix + "." + kind + "." + strconv.Itoa(partition) + "." + host
}

// Partition returns which of n partitions a host is in. It is what the server's mapping
// partition(n,1) computes: FNV-1a of 32 bits over the token, modulo n (nats-server,
// subject_transform.go, getHashPartition).
func Partition(host string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(host)) // never fails
	return int(h.Sum32() % uint32(max(n, 1)))
}

// StreamOf returns the stream of a partition: "AUDIT_REC_7".
func StreamOf(partition int) string { return StreamRecords + "_" + strconv.Itoa(partition) }

// IsRecordStream reports whether a stream of that name holds records: StreamRecords itself or
// one of its partitions.
func IsRecordStream(name string) bool {
	number, partitioned := strings.CutPrefix(name, StreamRecords+"_")
	if !partitioned {
		return name == StreamRecords
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return err == nil && n < MaxPartitions && StreamOf(int(n)) == name
}

// SplitSubject returns kind and host of a subject, with or without a partition. ok is false for
// any other.
func SplitSubject(subject string) (kind, host string, ok bool) {
	tokens := strings.Split(subject, ".")
	if len(tokens) == 4 {
		if n, err := strconv.ParseUint(tokens[2], 10, 16); err != nil || n >= MaxPartitions {
			return "", "", false
		}
		tokens = append(tokens[:2:2], tokens[3])
	}
	if len(tokens) != 3 || tokens[0] != prefix || !ValidHost(tokens[2]) {
		return "", "", false
	}
	switch tokens[1] {
	case Records, Events, Checkpoints:
		return tokens[1], tokens[2], true
	}
	return "", "", false
}

// ValidHost reports whether s is a machine-id as machine-id(5) has it, or a boot id without its
// dashes: 32 hexadecimal digits in lower case, not all zero.
func ValidHost(s string) bool { return isHex(s, hostLen) && strings.Trim(s, "0") != "" }

// ValidEpoch reports whether s is an epoch: 16 hexadecimal digits in lower case.
func ValidEpoch(s string) bool { return isHex(s, epochLen) }

// NewEpoch returns a random epoch. A sink makes one when what it keeps in state_dir is new or
// lost: its numbers begin again at 1.
func NewEpoch() string {
	var raw [epochLen / 2]byte
	rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
