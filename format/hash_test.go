package format_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/format"
	"audisp-relay/format/ecs"
	"audisp-relay/format/json"
	"audisp-relay/format/laurel"
	"audisp-relay/format/ocsf"
)

// TestHashesOfPrograms: each format has the hash of the program where it has a place.
func TestHashesOfPrograms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || (fs.Type != unix.EXT4_SUPER_MAGIC && fs.Type != unix.XFS_SUPER_MAGIC) {
		t.Skip("programs are hashed on some file systems alone: on", path, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("msg=audit(%d.000:7): ", time.Now().Add(time.Hour).Unix()) // the file is older
	text := "type=SYSCALL " + id + `arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=1 ppid=1 pid=100 auid=0 uid=0 comm="program" exe="` + path + "\" key=(null)\n" +
		"type=EXECVE " + id + "argc=1 a0=\"program\"\n" +
		"type=PATH " + id + fmt.Sprintf("item=0 name=%q inode=%d dev=%02x:%02x mode=0100700 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL\n", path, st.Ino, unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	var b record.Batch
	r := stream.NewReader(strings.NewReader(text))
	for {
		var part record.Batch
		if err := r.Next(&part); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b = part
	}

	table := process.NewTable(process.Options{Hashed: 1 << 20})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { table.Hash(ctx); close(ended) }()
	table.Note(&b)
	var known process.Current
	known.Set(table)
	for c := (process.Context{}); c.Hash() == nil; time.Sleep(time.Millisecond) {
		known.Of(&c, &b, 0, len(b.Recs))
	}
	cancel()
	<-ended

	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("program")))
	for _, tt := range []struct {
		kind format.Kind
		want string
	}{
		{json.Kind, `"exe_sha256":"` + sum + `"`},
		{ecs.Kind, `"hash":{"sha256":"` + sum + `"}`},
		{ocsf.Kind, `"type_id":1,"hashes":[{"algorithm_id":3,"value":"` + sum + `"}]}`},
		{laurel.Kind, `"EXE_HASH":"` + sum + `"`},
	} {
		line := tt.kind.New(format.Options{Processes: &known}).AppendEvent(nil, &b, 0, len(b.Recs))
		if !strings.Contains(string(line), tt.want) {
			t.Errorf("%s lacks %s\n%s", tt.kind.Name, tt.want, line)
		}
	}
}
