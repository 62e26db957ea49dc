package plugin

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"audisp-relay/config"
	"audisp-relay/queue"
)

// TestCgroupLimit: the smallest limit of the process's cgroup and of those above it,
// of either version, in a container too.
func TestCgroupLimit(t *testing.T) {
	const (
		mount1 = "34 30 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
		other1 = "31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		mount2 = "30 22 0:27 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
		none1  = "9223372036854771712\n"
	)
	for _, tt := range []struct {
		name, own, mounts string
		files             map[string]string
		want              int64
		file              string
	}{
		{"version 2", "0::/system.slice/auditd.service\n", mount2,
			map[string]string{"sys/fs/cgroup/system.slice/auditd.service/memory.max": "67108864\n"},
			64 << 20, "/sys/fs/cgroup/system.slice/auditd.service/memory.max"},
		{"version 2, above", "0::/system.slice/auditd.service\n", mount2,
			map[string]string{"sys/fs/cgroup/system.slice/auditd.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "1000\n"},
			1000, "/sys/fs/cgroup/system.slice/memory.max"},
		{"version 2, high is lower", "0::/a\n", mount2,
			map[string]string{"sys/fs/cgroup/a/memory.max": "2000\n", "sys/fs/cgroup/a/memory.high": "1000\n"},
			1000, "/sys/fs/cgroup/a/memory.high"},
		{"version 2, none", "0::/a\n", mount2, map[string]string{"sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.high": "max\n"}, 0, ""},
		{"version 2, namespace", "0::/\n", mount2, map[string]string{"sys/fs/cgroup/memory.max": "1000\n"}, 1000, "/sys/fs/cgroup/memory.max"},
		{"version 1", "4:memory:/a/b\n3:cpu:/\n", other1 + mount1,
			map[string]string{"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": none1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3000\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes": none1},
			3000, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
		{"version 1, no limit", "4:memory:/a\n", mount1, map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": none1}, 0, ""},
		{"version 1 in a container", "4:cpu,memory:/docker/0123/x\n", "34 30 0:31 /docker/0123 /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n",
			map[string]string{"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "4000\n"}, 4000, "/sys/fs/cgroup/memory/x/memory.limit_in_bytes"},
		{"both versions", "4:memory:/a\n0::/\n", mount1 + "40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "5000\n"}, 5000, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
		{"another name that begins alike", "0::/ab\n", "30 22 0:27 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			map[string]string{"sys/fs/cgroup/b/memory.max": "1\n"}, 0, ""},
		{"outside of the namespace", "0::/../other\n", mount2, map[string]string{"sys/fs/cgroup/memory.max": "6000\n"}, 6000, "/sys/fs/cgroup/memory.max"},
		{"nonsense", "memory\n:\n0::\n", "x\n - \n", nil, 0, ""},
		{"not mounted", "0::/a\n4:memory:/a\n", "", nil, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, filepath.Join(root, "proc/self/cgroup"), tt.own)
			plant(t, filepath.Join(root, "proc/self/mountinfo"), tt.mounts)
			for name, text := range tt.files {
				plant(t, filepath.Join(root, name), text)
			}
			if got, file := cgroupLimit(root); got != tt.want || file != tt.file {
				t.Errorf("limit %d of %q, want %d of %q", got, file, tt.want, tt.file)
			}
		})
	}
	if got, file := cgroupLimit(t.TempDir()); got != 0 {
		t.Errorf("without proc: %d of %q", got, file)
	}
}

func plant(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestShareMemory: what the queues hold, with headers, stays within what the limit
// leaves, whatever was configured; who asks for little keeps it.
func TestShareMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name   string
		limit  int64 // memory_limit
		cgroup int64
		depth  int
		sizes  []int64 // q_bytes
		cut    bool
	}{
		{"two sinks as by default", 128 * mib, 0, config.DefaultQDepth, []int64{32 * mib, 32 * mib}, false},
		{"a large cgroup", 128 * mib, 8192 * mib, config.DefaultQDepth, []int64{32 * mib, 32 * mib}, false},
		{"none", 128 * mib, 64 * mib, config.DefaultQDepth, nil, false},
		{"a small cgroup", 128 * mib, 64 * mib, 1_000_000, []int64{32 * mib, 32 * mib}, true},
		{"many sinks", 128 * mib, 128 * mib, 1_000_000, []int64{32 * mib, 32 * mib, 32 * mib, 32 * mib, 32 * mib, 32 * mib, 32 * mib, 32 * mib}, true},
		{"many sinks without a cgroup", 128 * mib, 0, config.DefaultQDepth, []int64{32 * mib, 32 * mib, 32 * mib, 32 * mib, 32 * mib}, false},
		{"a small one beside a large one", 128 * mib, 64 * mib, 2000, []int64{mib, 64 * mib}, true},
		{"headers alone are too much", 128 * mib, 64 * mib, 1_000_000, []int64{8 * mib, 8 * mib}, true},
		{"a tiny cgroup", 128 * mib, 16 * mib, 2000, []int64{32 * mib}, true},
		{"memory_limit is the smaller", 32 * mib, 1024 * mib, 2000, []int64{32 * mib}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := &config.Config{MemoryLimit: config.Size(tt.limit)}
			for _, size := range tt.sizes {
				cfg.Sinks = append(cfg.Sinks, config.Sink{QDepth: tt.depth, QBytes: config.Size(size)})
			}
			m := shareMemory(cfg, tt.cgroup, "")
			if m.Limit > tt.limit || (tt.cgroup > 0 && m.Limit > tt.cgroup*3/4) || m.Queues <= 0 || m.Queues > m.Limit*3/4 {
				t.Errorf("limit %d, for queues %d", m.Limit, m.Queues)
			}
			if (m.QueueCap > 0) != tt.cut {
				t.Errorf("the queues are cut to %d", m.QueueCap)
			}
			var text, all int64
			for i, size := range tt.sizes {
				q := queue.Config{Depth: tt.depth, Bytes: size}
				m.fit(&q)
				if !tt.cut && (q.Depth != tt.depth || q.Bytes != size) {
					t.Errorf("queue %d is cut to %d records, %d bytes", i, q.Depth, q.Bytes)
				}
				if size <= m.Queues/int64(len(tt.sizes)) && q.Bytes != size {
					t.Errorf("queue %d asks for no more than its share, %d bytes, and has %d", i, size, q.Bytes)
				}
				if q.Depth < 1 || q.Bytes < min(size, minQueue) {
					t.Errorf("queue %d has %d records, %d bytes", i, q.Depth, q.Bytes)
				}
				text += q.Bytes
				all += q.Bytes + min(int64(q.Depth), q.Bytes/smallRecord)*headerMemory
			}
			if tt.cgroup > 0 && m.Limit < tt.limit && (text > m.Queues || all > m.Queues*3/2) {
				t.Errorf("queues hold %d bytes, with headers %d, of %d", text, all, m.Queues)
			}
		})
	}
}

// TestReloadSharesMemoryAgain: a reload that adds sinks cuts the queues of those there are.
func TestReloadSharesMemoryAgain(t *testing.T) {
	p := &Plugin{log: newLogger(config.Default().Log)}
	p.cgroup.limit = 64 << 20
	cfg := &config.Config{MemoryLimit: config.DefaultMemory}
	sink := config.Sink{QDepth: 1000, QBytes: 16 << 20}
	for n := 1; n <= 4; n++ {
		cfg.Sinks = append(cfg.Sinks, sink)
		p.setMemory(cfg)
		want := int64(16 << 20)
		if n > 1 {
			want = p.memory.Load().Queues / int64(n)
		}
		if got := p.queueConfig(sink).Bytes; got != want {
			t.Errorf("with %d sinks a queue has %d bytes, want %d", n, got, want)
		}
	}
}

// TestQueuesFitIntoTheAddresses: what the sinks ask for together is cut to what a process can have at
// all, without a cgroup too.
func TestQueuesFitIntoTheAddresses(t *testing.T) {
	const small, large = int64(1 << 20), int64(addressable) / 4 * 3
	cfg := &config.Config{MemoryLimit: 128 << 20}
	for _, size := range []int64{small, large, large} {
		cfg.Sinks = append(cfg.Sinks, config.Sink{QDepth: 1000, QBytes: config.Size(size)})
	}
	m := shareMemory(cfg, 0, "")
	for size, most := range map[int64]int64{small: small, large: addressable / 2} {
		q := queue.Config{Depth: 1000, Bytes: size}
		if m.fit(&q); q.Bytes > most || q.Bytes < min(size, most-small) {
			t.Errorf("of %d bytes a queue gets %d, want %d or a little less", size, q.Bytes, most)
		}
	}
}

// TestShareMemoryOfOrders: a sink that sorts events holds them twice, within the share of all.
func TestShareMemoryOfOrders(t *testing.T) {
	share := func(serial bool) int64 {
		sink := config.Sink{QDepth: 2000, QBytes: 1 << 20, Serial: serial}
		return shareMemory(&config.Config{MemoryLimit: 128 << 20, Sinks: []config.Sink{sink, sink}}, 128<<20, "").Events
	}
	if plain, sorted := share(false), share(true); plain != 6<<20 || 2*sorted != plain {
		t.Errorf("for the open events of a sink %d, with an order %d", plain, sorted)
	}
}

// TestCollectorIsHeldWithinBounds: a start goes without the garbage collector only as long as it needs little memory.
func TestCollectorIsHeldWithinBounds(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	holdCollector()
	var held, after runtime.MemStats
	runtime.ReadMemStats(&held)
	for range 8 * startMemory >> 20 {
		kept = make([]byte, 1<<20)
	}
	runtime.ReadMemStats(&after)
	if after.NumGC == held.NumGC {
		t.Errorf("%d MiB were allocated without a collection", 8*startMemory>>20)
	}

	p := &Plugin{}
	p.memory.Store(&MemoryReport{Limit: 400 << 20})
	p.collect()
	if now := debug.SetGCPercent(100); now != gcPercent {
		t.Errorf("the collector runs at %d %%, want %d", now, gcPercent)
	}
	if now := debug.SetMemoryLimit(-1); now != 300<<20 {
		t.Errorf("the limit is %d, want three quarters of what there is", now)
	}
}

// kept has the compiler allocate.
var kept []byte
