package fleet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
	servers "audisp-relay/test/engine"
	"audisp-relay/test/lab"
)

// startCluster starts n servers that are one cluster, by their names.
func startCluster(t testing.TB, n int) map[string]*server {
	t.Helper()
	ports := lab.FreePorts(t, 2*n)
	var routes []string
	for _, port := range ports[n:] {
		routes = append(routes, fmt.Sprintf("%q", fmt.Sprintf("nats-route://127.0.0.1:%d", port)))
	}
	cluster := make(map[string]*server)
	for i := range n {
		dir, name := t.TempDir(), fmt.Sprintf("n%d", i+1)
		s := &server{t: t, binary: servers.Program(t), config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "log"), port: ports[i]}
		writeFile(t, s.config, fmt.Sprintf("server_name: %s\nlisten: 127.0.0.1:%d\nlog_file: %q\njetstream { store_dir: %q }\ncluster { name: test, listen: \"127.0.0.1:%d\", routes: [%s] }\n",
			name, ports[i], s.log, dir, ports[n+i], strings.Join(routes, ", ")))
		t.Cleanup(s.stop)
		cluster[name] = s
	}
	for _, s := range cluster {
		s.start()
	}
	awaitLeader(t, cluster)
	return cluster
}

// awaitLeader waits until the servers have one that leads them: none answers before.
func awaitLeader(t testing.TB, cluster map[string]*server) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, s := range cluster {
			if log, _ := os.ReadFile(s.log); bytes.Contains(log, []byte("new metadata leader")) {
				return
			}
		}
	}
	t.Fatal("the cluster has no leader")
}

// TestALookOutlivesALeader: the server that leads the stream is killed while it is read, and does not
// come back; the two others have all of it.
func TestALookOutlivesALeader(t *testing.T) {
	t.Parallel()
	cluster := startCluster(t, 3)
	var urls []string
	for _, s := range cluster {
		urls = append(urls, s.url())
	}
	e, err := Dial(Access{URL: strings.Join(urls, ",")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	layout := testLayout
	layout.Replicas = 3
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // until all servers know the leader
		if _, _, err = e.Apply(t.Context(), layout); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	const hosts, batches = 20, 60
	for i := range hosts {
		h := newHost(t, e, i)
		for range batches {
			h.batch(2)
		}
		h.checkpoint(wire.ReasonTick, nil)
	}
	settle(t, e)

	info, err := e.stream(t.Context(), wire.StreamRecords)
	if err != nil || info.State.Msgs != hosts*batches {
		t.Fatalf("%+v, %v", info, err)
	}
	seen := uint64(0)
	r := scanRange{stream: wire.StreamRecords, from: 1, to: info.State.LastSeq, headers: true}
	read, err := e.scan(t.Context(), r, func(m message) error {
		if seen++; seen != m.seq {
			return fmt.Errorf("message %d came, want %d", m.seq, seen)
		}
		if seen == 700 {
			cluster[info.Cluster.Leader].stop()
		}
		return nil
	})
	if err != nil || read != hosts*batches {
		t.Errorf("read %d of %d: %v", read, hosts*batches, err)
	}
	all, sum := look(t, NewVerifier(e, Options{Full: true}))
	if len(all) != hosts || sum.Findings != 0 {
		t.Errorf("%d hosts, %+v", len(all), sum)
	}
}
