// Command collector is the OpenTelemetry Collector's otlpreceiver alone, over HTTP: each log record
// that it takes it appends to a file, as a JSON object on a line, before it answers. A line is what
// the file has whole, whenever the process is killed.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

// line is a log record as the file has it.
type line struct {
	UID      string `json:"uid"`
	Event    string `json:"event"`
	Severity string `json:"severity"`
	Time     int64  `json:"time"` // ns since 1970
	Host     string `json:"host"`
	Body     string `json:"body"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:4318", "listen at this `ADDRESS`")
	path := flag.String("out", "", "append to this `FILE`")
	cert := flag.String("cert", "", "certificate, PEM `FILE`")
	key := flag.String("key", "", "its key, PEM `FILE`")
	refuse := flag.String("refuse", "", "refuse requests with a body that has this `TEXT`, for good")
	flag.Parse()
	if err := run(*listen, *path, *cert, *key, *refuse); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(listen, path, cert, key, refuse string) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	next, err := consumer.NewLogs(sink(out, refuse))
	if err != nil {
		return err
	}

	http := map[string]any{"endpoint": listen}
	if cert != "" {
		http["tls"] = map[string]any{"cert_file": cert, "key_file": key}
	}
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	conf := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{"http": http}})
	if err := conf.Unmarshal(cfg); err != nil {
		return err
	}
	ctx := context.Background()
	set := receiver.Settings{ID: component.NewID(f.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := f.CreateLogs(ctx, set, cfg, next)
	if err != nil {
		return err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}

	fmt.Println("ready")
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	<-c
	return r.Shutdown(ctx)
}

// sink appends the log records of a request in one write.
func sink(out *os.File, refuse string) consumer.ConsumeLogsFunc {
	var mu sync.Mutex
	return func(_ context.Context, l plog.Logs) error {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		for _, rl := range l.ResourceLogs().All() {
			host, _ := rl.Resource().Attributes().Get("host.name")
			for _, sl := range rl.ScopeLogs().All() {
				for _, r := range sl.LogRecords().All() {
					uid, _ := r.Attributes().Get("log.record.uid")
					body := r.Body().AsString()
					if refuse != "" && strings.Contains(body, refuse) {
						return consumererror.NewPermanent(errors.New("refused by its body"))
					}
					if err := enc.Encode(line{uid.AsString(), r.EventName(), r.SeverityText(), r.Timestamp().AsTime().UnixNano(), host.AsString(), body}); err != nil {
						return err
					}
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		_, err := out.Write(text.Bytes())
		return err
	}
}
