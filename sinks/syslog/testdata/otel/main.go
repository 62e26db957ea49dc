// Command receiver is the OpenTelemetry Collector's syslogreceiver alone: what comes to the
// TCP address of its first argument it writes to stdout, PROCID|MESSAGE on a line. The second
// says the framing, "octet-counted" or another. Build it with
//
//	go build -o /tmp/receiver . && export AUDISP_OTEL_RECEIVER=/tmp/receiver
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/syslogreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
)

func main() {
	f := syslogreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	conf := confmap.NewFromStringMap(map[string]any{
		"protocol": "rfc5424", "tcp": map[string]any{"listen_address": os.Args[1]},
		"enable_octet_counting": os.Args[2] == "octet-counted",
	})
	if err := conf.Unmarshal(cfg); err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	next, err := consumer.NewLogs(func(_ context.Context, l plog.Logs) error {
		for _, rl := range l.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, r := range sl.LogRecords().All() {
					part, message := "", ""
					if v, ok := r.Attributes().Get("proc_id"); ok {
						part = v.Str()
					}
					if v, ok := r.Attributes().Get("message"); ok {
						message = v.Str()
					}
					fmt.Fprintf(out, "%s|%s\n", part, strings.TrimSuffix(message, "\n"))
				}
			}
		}
		return out.Flush()
	})
	if err != nil {
		panic(err)
	}
	set := receiver.Settings{ID: component.NewID(f.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := f.CreateLogs(context.Background(), set, cfg, next)
	if err != nil {
		panic(err)
	}
	if err := r.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		panic(err)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	r.Shutdown(context.Background())
}
