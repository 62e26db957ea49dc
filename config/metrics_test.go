package config

import (
	"strings"
	"testing"
)

// TestMetricsTable: what is wrong is said with file, line and key, and other hosts read nothing in
// clear unless that is asked for.
func TestMetricsTable(t *testing.T) {
	cert := "cert_file='/c'\nkey_file='/k'\n"
	for keys, want := range map[string]string{
		"":                                   "",
		"socket=false":                       "",
		"listen='127.0.0.1:9817'":            "",
		"listen='[::1]:9817'":                "",
		"listen='[::ffff:127.0.0.1]:9817'":   "",
		"listen='0.0.0.0:9817'\ntls=false":   "",
		"listen='0.0.0.0:9817'\n" + cert:     "",
		"listen='127.0.0.1:9817'\n" + cert:   "",
		"text_file='/var/lib/ne/relay.prom'": "",
		"listen='0.0.0.0:9817'":              `t.toml:2: metrics.listen: "0.0.0.0:9817" can be read by other hosts in clear`,
		"listen='[::]:9817'":                 "can be read by other hosts in clear",
		"listen='localhost:9817'":            `t.toml:2: metrics.listen: "localhost:9817" is no address to listen on`,
		"listen='127.0.0.1'":                 "is no address to listen on",
		"listen='127.0.0.1:0'":               "is no address to listen on",
		"listen='127.0.0.1:70000'":           "is no address to listen on",
		"listen=9817":                        "is an integer, must be a string",
		"cert_file='/c'":                     "t.toml:2: metrics.cert_file: needs key_file",
		"key_file='/k'":                      "needs key_file",
		"tls=false\n" + cert:                 "t.toml:2: metrics.tls: is false although there is a certificate",
		"text_file='relay.prom'":             "is not absolute",
		"text_file='/tmp/relay.txt'":         "does not end in .prom",
		"sockt=true":                         `t.toml:2: metrics.sockt: unknown key, did you mean "socket"?`,
	} {
		c, err := Parse("t.toml", []byte("[metrics]\n"+keys+"\n[sinks.a]\ntype='unix'\npath='/run/x'\n"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", keys, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", keys, err, want)
		case want != "" && (c == nil || c.Metrics.Listen != ""):
			t.Errorf("%s: the relay would not start, or listen nevertheless: %+v", keys, c)
		}
	}
}

// TestMetricsPathsAreTaken: no sink writes over what the relay itself writes.
func TestMetricsPathsAreTaken(t *testing.T) {
	for _, sink := range []string{"type='unix'\npath='/run/r/metrics.sock'", "type='file'\npath='/x/relay.prom'"} {
		_, err := Parse("t.toml", []byte("run_dir='/run/r'\n[metrics]\ntext_file='/x/relay.prom'\n[sinks.a]\n"+sink))
		if err == nil || !strings.Contains(err.Error(), "is written by") {
			t.Errorf("%s: %v", sink, err)
		}
	}
}
