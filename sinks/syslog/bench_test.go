package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"audisp-relay/format"
	"audisp-relay/sinks/sinktest"
	"audisp-relay/test/lab"
	"audisp-relay/test/pki"
	"audisp-relay/testdata/captures"
)

// BenchmarkTransports is the way from a batch to a server in this process that
// reads and, with RELP, acknowledges each message, over loopback. The CPU time is
// that of both sides.
func BenchmarkTransports(b *testing.B) {
	for _, transport := range []string{"tcp", "tls", "relp", "relp+tls"} {
		b.Run(transport, func(b *testing.B) {
			batches := sinktest.Batches(captures.Read(b, "audit-3.0.9-enriched.string.gz"), 64<<10)
			w := newWriter(drained(b, transport), format.Encoder{})
			defer w.Close()
			records := 0
			before := lab.OwnCPU(b)
			for b.Loop() {
				for _, batch := range batches {
					if n, err := w.Write(context.Background(), batch); n != len(batch.Recs) || err != nil {
						b.Fatal(n, err)
					}
					records += len(batch.Recs)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/rec")
			b.ReportMetric(float64((lab.OwnCPU(b)-before).Nanoseconds())/float64(records), "cpu-ns/rec")
		})
	}
}

// drained returns the configuration of a server that throws away what it gets.
func drained(b *testing.B, transport string) Config {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{Address: l.Addr().String(), Protocol: "rfc5424", Facility: "user", Severity: "info", Tag: "audisp-relay"}
	cfg.Transport, _, _ = strings.Cut(transport, "+")
	if strings.HasSuffix(transport, "tls") {
		ca := pki.New(b)
		cfg.CAFile = ca.File
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}})
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if cfg.Transport == "relp" {
			acknowledge(c)
		} else {
			io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, 64<<10))
		}
	})
	b.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return cfg
}

// acknowledge is a RELP server that answers what it has read in one go.
func acknowledge(c net.Conn) {
	in, out := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 16<<10)
	for {
		f, err := readClientFrame(in)
		if err != nil {
			return
		}
		text := "200 OK"
		if f.command == "open" {
			text = openAnswer
		}
		out.Write(answer(f.txnr, text))
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}
