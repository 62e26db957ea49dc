package metrics_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"audisp-relay/test/lab"
	"audisp-relay/test/pki"
)

const sinksText = `
[recovery]
enabled = false
[sinks.arch]
type = "file"
path = "DIR/out"
[sinks.dead]
type = "file"
path = "DIR/no/such/out"
q_depth = 10
spool.max_size = "0"
[sinks.few]
type = "file"
path = "DIR/few"
filter = "type == \"USER_LOGIN\""
`

// TestNumbersAreThoseOfTheReport: what is served is what the report has, and it adds up.
func TestNumbersAreThoseOfTheReport(t *testing.T) {
	r := start(t, sinksText)
	io.WriteString(r.in, records(1, 100))
	wait(t, "all is delivered, left out or lost", func() bool {
		c := r.Report().Consumers
		return len(c) == 3 && c[0].Delivered == 100 && c[1].LostTotal == 90 && c[2].Filtered == 100
	})
	got := values(t, r.scrape(t))
	for series, want := range map[string]float64{
		`audisp_relay_records_received_total`:                              100,
		`audisp_relay_events_received_total{type_class="other"}`:           100,
		`audisp_relay_events_received_total{type_class="login"}`:           0,
		`audisp_relay_sink_records_total{outcome="delivered",sink="arch"}`: 100,
		`audisp_relay_sink_records_total{outcome="lost",sink="arch"}`:      0,
		`audisp_relay_sink_records_total{outcome="lost",sink="dead"}`:      90,
		`audisp_relay_sink_records_total{outcome="filtered",sink="few"}`:   100,
		`audisp_relay_records_lost_total{cause="queue-full",sink="dead"}`:  90,
		`audisp_relay_records_lost_total{cause="queue-full",sink="arch"}`:  0,
		`audisp_relay_queue_records{sink="dead"}`:                          10,
		`audisp_relay_queue_limit_records{sink="dead"}`:                    10,
		`audisp_relay_sink_up{sink="arch"}`:                                1,
		`audisp_relay_sink_up{sink="dead"}`:                                0,
		`audisp_relay_config_last_reload_successful`:                       1,
		`audisp_relay_delivery_seconds_count{sink="arch"}`:                 100,
		`audisp_relay_delivery_seconds_count{sink="dead"}`:                 0,
		`audisp_relay_spool_limit_bytes{sink="dead"}`:                      0,
		`audisp_relay_upstream_lost_total{cause="auditd"}`:                 0,
	} {
		if v, there := got[series]; !there || v != want {
			t.Errorf("%s = %v (there: %v), want %v", series, v, there, want)
		}
	}
	if sum := got[`audisp_relay_delivery_seconds_sum{sink="arch"}`]; sum < 100 {
		t.Errorf("100 records of a second ago took %v s together", sum)
	}
	oldest, there := got[`audisp_relay_oldest_undelivered_timestamp_seconds{sink="dead"}`]
	if age := time.Since(time.UnixMilli(int64(oldest * 1000))); !there || age < time.Second || age > time.Minute {
		t.Errorf("the oldest record is of %v (there: %v), want a second ago", oldest, there)
	}
	if _, there := got[`audisp_relay_oldest_undelivered_timestamp_seconds{sink="arch"}`]; there {
		t.Error("there is an oldest record although nothing waits")
	}
	for _, name := range []string{"process_cpu_seconds_total", "process_open_fds", "go_goroutines"} {
		if _, there := got[name]; !there {
			t.Errorf("%s is not there", name)
		}
	}
}

// TestLossAtTheEndIsSeenInTheNextRun: what is given up when the relay ends is lost at a moment when no one can read it any more.
func TestLossAtTheEndIsSeenInTheNextRun(t *testing.T) {
	const series = `audisp_relay_records_lost_total{cause="shutdown",sink="dead"}`
	r := start(t, sinksText)
	io.WriteString(r.in, records(1, 7))
	wait(t, "all waits", func() bool { c := r.Report().Consumer("dead"); return c != nil && c.Queued == 7 })
	if v, there := values(t, r.scrape(t))[series]; !there || v != 0 {
		t.Errorf("before the end %v (there: %v), want 0", v, there)
	}
	r.close()

	r.run(t)
	if v := values(t, r.scrape(t))[series]; v != 7 {
		t.Errorf("in the next run %v, want 7", v)
	}
	if c := r.Report().Consumer("dead"); c.Lost1h["shutdown"] != 7 || c.Lost24h["shutdown"] != 7 || c.LostTotal != 0 {
		t.Errorf("status: %v within an hour, %v within a day, %d in this run", c.Lost1h, c.Lost24h, c.LostTotal)
	}
}

// TestTimeOfTheLastCheckpoint is there for a sink that gets checkpoints, and for no other.
func TestTimeOfTheLastCheckpoint(t *testing.T) {
	r := start(t, strings.Replace(sinksText, "[sinks.dead]", "checkpoint = true\n[sinks.dead]", 1))
	const name = "audisp_relay_last_checkpoint_timestamp_seconds"
	var got map[string]float64
	wait(t, "a checkpoint", func() bool {
		got = values(t, r.scrape(t))
		return got[name+`{sink="arch"}`] > 0
	})
	if age := time.Since(time.UnixMilli(int64(got[name+`{sink="arch"}`] * 1000))); age < 0 || age > time.Minute {
		t.Errorf("it is of %v ago", age)
	}
	if at, there := got[name+`{sink="few"}`]; there {
		t.Errorf("a sink without checkpoints has one of %v", at)
	}
}

// TestPromtoolHasNoObjection: promtool knows what names and help texts should be.
func TestPromtoolHasNoObjection(t *testing.T) {
	promtool := lab.NeedTool(t, "promtool")
	r := start(t, sinksText)
	io.WriteString(r.in, records(1, 10))
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(r.scrape(t))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestSocketIsRootsAlone: no one else may read what stands there, and it comes back when it is
// removed.
func TestSocketIsRootsAlone(t *testing.T) {
	r := start(t, sinksText)
	r.scrape(t)
	info, err := os.Stat(r.socket())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want mode 0600", info.Mode(), err)
	}
	if status, _, err := get(r.socket(), "http://relay/", nil); err != nil || status != http.StatusNotFound {
		t.Errorf("/: %d, %v", status, err)
	}
	if err := os.Remove(r.socket()); err != nil {
		t.Fatal(err)
	}
	r.scrape(t)
	r.close()
	if _, err := os.Lstat(r.socket()); err == nil {
		t.Error("the socket is there after the end")
	}
}

// TestTextFile has the relay's own numbers, as one file for node_exporter's user, and not those of the
// process, which would make node_exporter fail. It goes with the relay.
func TestTextFile(t *testing.T) {
	r := start(t, sinksText+"[metrics]\ntext_file = 'DIR/relay.prom'\nsocket = false\n")
	path := r.dir + "/relay.prom"
	var text []byte
	wait(t, "the text file is there", func() bool {
		var err error
		text, err = os.ReadFile(path)
		return err == nil
	})
	for series := range values(t, string(text)) {
		if !strings.HasPrefix(series, "audisp_relay_") {
			t.Errorf("%s is in the text file", series)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v, want mode 0644", info.Mode(), err)
	}
	if _, err := os.Lstat(r.socket()); err == nil {
		t.Error("there is a socket, which is switched off")
	}
	r.close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the text file is there after the end")
	}
}

// TestReloadMovesMetrics: SIGHUP takes over where they are read, a wrong table changes nothing.
func TestReloadMovesMetrics(t *testing.T) {
	address := freePort(t)
	r := start(t, sinksText)
	r.scrape(t)

	r.configure(t, sinksText+"[metrics]\nsocket = false\nlisten = '"+address+"'\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	wait(t, "TCP answers", func() bool {
		status, text, err := get("", "http://"+address+"/metrics", nil)
		return err == nil && status == http.StatusOK && strings.Contains(text, "audisp_relay_build_info")
	})
	if _, err := os.Lstat(r.socket()); err == nil {
		t.Error("the socket is there still")
	}

	r.configure(t, sinksText+"[metrics]\nlisten = '0.0.0.0:9817'\n")
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	wait(t, "the mistake is reported", func() bool { return r.Report().ConfigError != "" })
	_, text, err := get("", "http://"+address+"/metrics", nil)
	if err != nil || values(t, text)["audisp_relay_config_last_reload_successful"] != 0 {
		t.Errorf("after a mistake: %v\n%.200s", err, text)
	}
}

// TestTLS: other than over loopback nothing is read in clear, and a certificate that is renewed is
// used without a reload. One that is missing is waited for.
func TestTLS(t *testing.T) {
	address := freePort(t)
	r := start(t, sinksText+"[metrics]\nlisten = '"+address+"'\ncert_file = 'DIR/cert'\nkey_file = 'DIR/key'\n")
	wait(t, "the missing certificate is logged", func() bool {
		log, _ := os.ReadFile(r.dir + "/log")
		return strings.Contains(string(log), "metrics not available yet")
	})
	for range 2 {
		trust := certificate(t, r.dir)
		wait(t, "TLS answers", func() bool {
			status, text, err := get("", "https://"+address+"/metrics", trust)
			return err == nil && status == http.StatusOK && strings.Contains(text, "audisp_relay_build_info") &&
				strings.Contains(text, "\naudisp_relay_metrics_tls_not_after_timestamp_seconds ")
		})
	}
	if _, text, err := get("", "http://"+address+"/metrics", nil); err == nil && strings.Contains(text, "audisp_relay") {
		t.Errorf("it answers in clear: %.100s", text)
	}

	// A renewal that went wrong: no client says why it cannot read.
	if err := os.WriteFile(r.dir+"/cert", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get("", "https://"+address+"/metrics", &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("it answers without a certificate")
	}
	trust := certificate(t, r.dir)
	wait(t, "TLS answers again", func() bool {
		status, _, err := get("", "https://"+address+"/metrics", trust)
		return err == nil && status == http.StatusOK
	})
	wait(t, "both are logged once", func() bool {
		log, _ := os.ReadFile(r.dir + "/log")
		return strings.Count(string(log), "certificate of metrics cannot be used") == 1 && strings.Count(string(log), "certificate of metrics can be used again") == 1
	})
}

// certificate writes a fresh certificate and its key, and returns who trusts it.
func certificate(t *testing.T, dir string) *tls.Config {
	t.Helper()
	ca := pki.New(t)
	cert, key := ca.PEM(ca.Issue("127.0.0.1"))
	for name, text := range map[string]string{"cert": cert, "key": key} {
		if err := os.WriteFile(dir+"/"+name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/"+name+".new", dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return &tls.Config{RootCAs: ca.Pool()}
}

// TestIdleClientsDoNotKeepOthersOut: those that connect and say nothing are put out, and the relay
// ends in spite of them.
func TestIdleClientsDoNotKeepOthersOut(t *testing.T) {
	r := start(t, sinksText)
	r.scrape(t)
	for range 40 {
		conn, err := net.Dial("unix", r.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	r.scrape(t)
	r.close()
}

// freePort returns an address of this host where nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", lab.FreePort(t, "tcp"))
}
