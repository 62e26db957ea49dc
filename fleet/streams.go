package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// Layout is how a fleet's streams are made.
type Layout struct {
	Partitions int           // 0: one stream for all records
	Replicas   int           // 1, 3 or 5
	MaxAge     time.Duration // how long records are kept
	MaxBytes   int64         // of each stream of batches; -1: as much as the server has
}

// Check returns what the server would refuse, or what would lose records.
func (l Layout) Check() error {
	switch {
	case l.Partitions < 0 || l.Partitions > wire.MaxPartitions || l.Partitions == 1:
		return fmt.Errorf("--partitions: want 0 for none, or 2 to %d", wire.MaxPartitions)
	case !slices.Contains([]int{1, 3, 5}, l.Replicas):
		return errors.New("--replicas: want 1, 3 or 5")
	case l.MaxAge < time.Hour:
		return errors.New("--max-age: want an hour at least")
	case l.MaxBytes == 0 || l.MaxBytes < -1:
		return errors.New("--max-bytes: want a size, or -1 for no limit")
	}
	return nil
}

// Streams returns the configurations of all streams.
//
// A full stream refuses what comes (discard new), and the relay keeps it in its spool; to discard
// old messages would delete evidence without a word. Nobody may delete or purge through the API.
func (l Layout) Streams() []jetstream.StreamConfig {
	stream := func(name, what string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: what, Subjects: subjects,
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
			Replicas: l.Replicas, MaxAge: l.MaxAge, MaxBytes: l.MaxBytes, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, MaxMsgSize: -1,
			Duplicates: 2 * time.Minute, DenyDelete: true, DenyPurge: true, AllowDirect: true,
		}
	}

	var list []jetstream.StreamConfig
	if l.Partitions == 0 {
		list = append(list, stream(wire.StreamRecords, "audit records, a subject for each host", wire.AllSubjects(wire.Records)))
	}
	for p := range l.Partitions {
		list = append(list, stream(wire.StreamOf(p), fmt.Sprintf("audit records, partition %d of %d", p, l.Partitions), wire.PartSubject(wire.Records, p, "*")))
	}
	list = append(list, stream(wire.StreamEvents, "audit events, a subject for each host", wire.AllSubjects(wire.Events)))
	ckpt := stream(wire.StreamCheckpoints, "what each host says it has sent", wire.AllSubjects(wire.Checkpoints))
	ckpt.MaxBytes = -1 // a checkpoint that is refused makes its host look silent
	return append(list, ckpt)
}

// Mappings returns the subjects that the server has to map for partitions, nil without any.
func (l Layout) Mappings() map[string]string {
	if l.Partitions == 0 {
		return nil
	}
	to := fmt.Sprintf("audit.%s.{{partition(%d,1)}}.{{wildcard(1)}}", wire.Records, l.Partitions)
	return map[string]string{wire.AllSubjects(wire.Records): to}
}

// Permission is what a user may do, as the configuration of the server has it.
type Permission struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
}

// HostPermission returns what one host needs, by its machine-id: it publishes to its own subjects,
// and reads its own last message and the settings of the streams. host may be a placeholder.
func (l Layout) HostPermission(host string) Permission {
	p := Permission{
		Publish:   []string{wire.Subject(wire.Records, host), wire.Subject(wire.Events, host), wire.Subject(wire.Checkpoints, host)},
		Subscribe: []string{"_INBOX_" + host + ".>"},
	}
	for _, s := range l.Streams() {
		p.Publish = append(p.Publish, "$JS.API.STREAM.INFO."+s.Name)
	}
	direct := func(stream, subject string) string { return "$JS.API.DIRECT.GET." + stream + "." + subject }
	stream, subject := wire.StreamRecords, wire.Subject(wire.Records, host)
	switch {
	case l.Partitions > 0 && wire.ValidHost(host): // the partition follows from the host
		n := wire.Partition(host, l.Partitions)
		stream, subject = wire.StreamOf(n), wire.PartSubject(wire.Records, n, host)
		p.Publish = append(p.Publish, subject)
	case l.Partitions > 0:
		stream, subject = "*", "audit.rec.*."+host
		p.Publish = append(p.Publish, subject)
	}

	p.Publish = append(p.Publish, direct(stream, subject))
	p.Publish = append(p.Publish, direct(wire.StreamEvents, wire.Subject(wire.Events, host)), direct(wire.StreamCheckpoints, wire.Subject(wire.Checkpoints, host)))
	return p
}

// ReaderPermission returns what status, verify and read need. It cannot publish to a subject of a
// host, nor change or delete a stream.
func (l Layout) ReaderPermission() Permission {
	p := Permission{Publish: []string{"$JS.API.STREAM.LIST"}, Subscribe: []string{inboxPrefix + ".>"}}
	for _, s := range l.Streams() {
		for _, verb := range []string{"STREAM.INFO.%s", "CONSUMER.CREATE.%s.>", "CONSUMER.CREATE.%s", "CONSUMER.INFO.%s.>", "CONSUMER.MSG.NEXT.%s.>", "CONSUMER.DELETE.%s.>"} {
			p.Publish = append(p.Publish, "$JS.API."+fmt.Sprintf(verb, s.Name))
		}
	}
	return p
}

// Apply makes the streams that are missing. One that is there is left as it is, since it holds
// evidence: differ says for each of its settings that is another. It returns the names of those
// made.
func (e *Engine) Apply(ctx context.Context, l Layout) (made, differ []string, err error) {
	for _, cfg := range l.Streams() {
		var info *jetstream.StreamInfo
		err := e.ask(ctx, "stream "+cfg.Name, func(ctx context.Context) error {
			s, err := e.js.Stream(ctx, cfg.Name)
			if err == nil {
				info = s.CachedInfo()
			}
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return made, differ, err
		}
		if info != nil {
			differ = append(differ, differences(cfg, info.Config)...)
			continue
		}

		err = e.ask(ctx, "make stream "+cfg.Name, func(ctx context.Context) error {
			_, err := e.js.CreateStream(ctx, cfg)
			return err
		})
		if err != nil {
			return made, differ, err
		}
		made = append(made, cfg.Name)
	}
	return made, differ, nil
}

// differences says what of a stream is not as wanted and matters to the records.
func differences(want, got jetstream.StreamConfig) (list []string) {
	name := want.Name
	compare := func(setting string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			list = append(list, fmt.Sprintf("stream %s: %s is %s, would be %s", name, setting, g, w))
		}
	}
	compare("subjects", want.Subjects, got.Subjects)
	compare("storage", want.Storage, got.Storage)
	compare("replicas", want.Replicas, got.Replicas)
	compare("discard", want.Discard, got.Discard)
	compare("retention", want.Retention, got.Retention)
	compare("max_age", want.MaxAge, got.MaxAge)
	compare("max_bytes", want.MaxBytes, got.MaxBytes)
	compare("max_msgs", want.MaxMsgs, got.MaxMsgs)
	compare("max_msgs_per_subject", want.MaxMsgsPerSubject, got.MaxMsgsPerSubject)
	compare("deny_delete", want.DenyDelete, got.DenyDelete)
	compare("deny_purge", want.DenyPurge, got.DenyPurge)
	compare("allow_direct", want.AllowDirect, got.AllowDirect)
	return list
}
