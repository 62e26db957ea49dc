package syslog

import (
	"bytes"
	"os"
	"testing"
	"time"

	"audisp-relay/sinks/sinktest"
)

// liveFull runs the live tests at full size.
const liveFull = "AUDISP_LIVE_FULL"

// TestRsyslogdKilled: a real server is killed and started again under load. With
// RELP nothing is lost, with TLS not more than is reported, and what comes twice is
// counted. The server stores each message before it acknowledges it; by default
// it keeps some in memory, which is lost then.
func TestRsyslogdKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	records, kills, patience := 20_000, 2, hang
	if os.Getenv(liveFull) == "1" {
		records, kills, patience = 200_000, 5, 10*time.Minute
	}
	for _, transport := range []string{"tcp", "tls", "relp", "relp+tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			daemon, cfg := listening(t, transport, "rfc5424", true)
			r := run(t, cfg)
			size := func() int64 {
				info, err := os.Stat(daemon.out)
				if err != nil {
					return 0
				}
				return info.Size()
			}
			all := sinktest.Lines(0, records)
			began := time.Now()
			part := records / (kills + 1)
			for i := range kills {
				// Not all at once: what the kernel has taken for the server is lost with it.
				before := size()
				r.put(sinktest.Lines(i*part, part))
				eventually(t, "a part of the records", func() bool { return size() > before })
				daemon.kill()
			}
			r.put(sinktest.Lines(kills*part, records-kills*part))
			r.q.Close()
			select {
			case <-r.done:
			case <-time.After(patience):
				t.Fatalf("not delivered: %+v, %+v", r.sink.Status(), r.q.Counts())
			}
			took := time.Since(began)
			quiet(t, size)
			daemon.stop()

			got, err := os.ReadFile(daemon.out)
			if err != nil {
				t.Fatal(err)
			}
			missing, twice, torn := compare(got, all)
			st := r.sink.Status()
			t.Logf("%d records, %d kills, %v: %d missing, %d reported to be in doubt; %d twice, %d reported; %d torn in the server's file",
				records, kills, took.Round(time.Millisecond), missing, st.Details.(*Details).Doubtful, twice, st.Details.(*Details).Repeated, torn)
			relp := cfg.Settings.(*Config).Transport == "relp"
			if (relp && missing > 0) || uint64(missing) > st.Details.(*Details).Doubtful || uint64(twice) > st.Details.(*Details).Repeated || torn > kills {
				t.Errorf("%d missing, %d twice, %d torn; status %+v", missing, twice, torn, st)
			}
			if relp && st.Details.(*Details).Doubtful > 0 {
				t.Errorf("%d messages in doubt", st.Details.(*Details).Doubtful)
			}
		})
	}
}

// quiet waits until the server stores no more.
func quiet(t *testing.T, size func() int64) {
	t.Helper()
	last, same := int64(-1), 0
	eventually(t, "the end of what the server stores", func() bool {
		n := size()
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		return same >= 100
	})
}

// compare says how many lines of want got does not have, how many it has again,
// and how many are none of want's: cut by a kill, alone or in front of the next one, which is
// whole then.
func compare(got, want []byte) (missing, twice, torn int) {
	left := make(map[string]bool)
	for line := range bytes.Lines(want) {
		left[string(line)] = true
	}
	total := len(left)
	found := 0
	for line := range bytes.Lines(got) {
		if _, known := left[string(line)]; !known {
			torn++
			line = line[max(bytes.LastIndex(line, []byte("type=")), 0):]
		}
		switch there, known := left[string(line)]; {
		case !known:
		case !there:
			twice++
		default:
			left[string(line)] = false
			found++
		}
	}
	return total - found, twice, torn
}
