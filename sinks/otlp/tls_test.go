package otlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/sinks"
	"audisp-relay/test/pki"
)

// newTLSReceiver returns a receiver with a certificate of ca's.
func newTLSReceiver(t testing.TB, ca *pki.Authority, auth tls.ClientAuthType) *receiver {
	certs := &tls.Config{Certificates: []tls.Certificate{ca.Issue("127.0.0.1")}, ClientAuth: auth, ClientCAs: ca.Pool()}
	r := &receiver{t: t, address: "127.0.0.1:0", certs: certs}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// TestTLS: the receiver proves its name, and so does the sink; what is wrong is said.
func TestTLS(t *testing.T) {
	ca, other := pki.New(t), pki.New(t)
	cert, key := ca.Save("host1", ca.Issue("host1"))
	for name, tt := range map[string]struct {
		auth tls.ClientAuthType
		set  func(*Config)
		text string
	}{
		"proven":                {tls.NoClientCert, func(c *Config) { c.CAFile = ca.File }, ""},
		"both proven":           {tls.RequireAndVerifyClientCert, func(c *Config) { c.CAFile, c.CertFile, c.KeyFile = ca.File, cert, key }, ""},
		"another CA":            {tls.NoClientCert, func(c *Config) { c.CAFile = other.File }, "set ca_file to the CA that signed it"},
		"another name":          {tls.NoClientCert, func(c *Config) { c.CAFile, c.ServerName = ca.File, "elsewhere" }, "or correct url"},
		"no client certificate": {tls.RequireAndVerifyClientCert, func(c *Config) { c.CAFile = ca.File }, "set cert_file and key_file"},
		"no file":               {tls.NoClientCert, func(c *Config) { c.CAFile = "/nonexistent" }, "correct ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTLSReceiver(t, ca, tt.auth)
			w := writerTo(t, r.url(), tt.set)
			n, err := w.Write(context.Background(), lines(5))
			if ok := tt.text == ""; ok != (n == 5 && err == nil) || (!ok && !strings.Contains(fmt.Sprint(err), tt.text)) {
				t.Errorf("%d delivered: %v", n, err)
			}
			var s sinks.Status
			w.Extra(&s)
			if d := s.Details.(*Details); tt.text == "" && (d.Connects != 1 || !d.Expires.After(time.Now()) || d.Expires.After(time.Now().Add(31*24*time.Hour))) {
				t.Errorf("%+v", d)
			}
		})
	}

	t.Run("in clear", func(t *testing.T) {
		_, err := writerTo(t, strings.Replace(newReceiver(t).url(), "http:", "https:", 1)).Write(context.Background(), lines(1))
		if !strings.Contains(fmt.Sprint(err), "does not speak TLS there") {
			t.Error(err)
		}
		_, err = writerTo(t, strings.Replace(newTLSReceiver(t, ca, tls.NoClientCert).url(), "https:", "http:", 1)).Write(context.Background(), lines(1))
		if !strings.Contains(fmt.Sprint(err), "begin url with https") {
			t.Error(err)
		}
	})
}

// TestRenewedCertificates: the files are read again after a failure.
func TestRenewedCertificates(t *testing.T) {
	ca, other := pki.New(t), pki.New(t)
	r := newTLSReceiver(t, ca, tls.NoClientCert)
	file := filepath.Join(t.TempDir(), "ca.pem")
	put := func(from string) {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(other.File)
	w := writerTo(t, r.url(), func(c *Config) { c.CAFile = file })
	if n, err := w.Write(context.Background(), lines(1)); err == nil {
		t.Fatalf("%d delivered to a receiver of an unknown CA", n)
	}
	put(ca.File)
	if n, err := w.Write(context.Background(), lines(1)); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// TestHeaders: values come from files, are followed, and are not shown.
func TestHeaders(t *testing.T) {
	r := newReceiver(t)
	file := filepath.Join(t.TempDir(), "token")
	put := func(text string, mode os.FileMode) {
		os.Remove(file)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	w := writerTo(t, r.url(), func(c *Config) { c.Headers = map[string]string{"Authorization": file} })
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // of the header, or else of the error
	}{
		{"Bearer s3cret\n", 0o600, "Bearer s3cret"},
		{"Bearer n3wer", 0o600, "Bearer n3wer"},
		{"Bearer n3wer\nX-Evil: s3cret", 0o600, "more than one line"},
		{"s3cret\x00", 0o600, "printable ASCII"},
		{"", 0o600, "is empty"},
		{strings.Repeat("s3cret", 2000), 0o600, "a header can have"},
		{"Bearer s3cret", 0o644, "chmod 0600"},
		{"Bearer last", 0o600, "Bearer last"},
	} {
		put(tt.text, tt.mode)
		before := len(r.got())
		_, err := w.Write(context.Background(), lines(1))
		switch {
		case err == nil && len(r.got()) == before+1:
			if got := r.headers[len(r.headers)-1]["Authorization"]; len(got) != 1 || got[0] != tt.want {
				t.Errorf("%q: sent %q", tt.text, got)
			}
		case !strings.Contains(fmt.Sprint(err), tt.want) || strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%.20q: %v", tt.text, err)
		}
	}
	os.Remove(file)
	if _, err := w.Write(context.Background(), lines(1)); err == nil || !strings.Contains(err.Error(), "headers.Authorization") {
		t.Error(err)
	}
}

// TestProxy: none, whatever the environment says, but the one that is configured.
func TestProxy(t *testing.T) {
	r := newReceiver(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	if n, err := writerTo(t, r.url()).Write(context.Background(), lines(1)); n != 1 || err != nil {
		t.Error(n, err)
	}
	var asked string
	proxy := newReceiver(t)
	proxy.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		asked = q.RequestURI
		return false
	}
	w := writerTo(t, "http://receiver.invalid:4318", func(c *Config) { c.Proxy = proxy.url() })
	if n, err := w.Write(context.Background(), lines(1)); n != 1 || err != nil || asked != "http://receiver.invalid:4318/v1/logs" {
		t.Error(n, err, asked)
	}
	refusing := newReceiver(t)
	refusing.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return true
	}
	closed := writerTo(t, "https://receiver.invalid:4318", func(c *Config) { c.Proxy = refusing.url() })
	if _, err := closed.Write(context.Background(), lines(1)); !strings.Contains(fmt.Sprint(err), "does not connect: \"Proxy Authentication Required\"") {
		t.Error(err)
	}
	proxy.stop()
	if _, err := w.Write(context.Background(), lines(1)); !strings.Contains(fmt.Sprint(err), "correct the port in proxy") {
		t.Error(err)
	}
}

// TestCompression: the receiver reads what each makes, and where it goes.
func TestCompression(t *testing.T) {
	for _, kind := range []string{"gzip", "zstd", "none"} {
		r := newReceiver(t)
		w := writerTo(t, r.url(), func(c *Config) { c.Compression = kind })
		b := lines(100)
		for range 3 {
			if n, err := w.Write(context.Background(), b); n != 100 || err != nil {
				t.Fatal(kind, n, err)
			}
		}
		if string(r.read()) != strings.Repeat(string(b.Buf), 3) || r.paths[0] != "/v1/logs" {
			t.Errorf("%s: %d log records at %s", kind, len(r.got()), r.paths[0])
		}
		if got := r.headers[0].Get("Content-Encoding"); got != map[string]string{"gzip": "gzip", "zstd": "zstd"}[kind] {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// trialOf returns the steps of a trial.
func trialOf(t *testing.T, url string, set ...func(*Config)) *sinks.Trial {
	y := &sinks.Trial{Timeout: 5 * time.Second, Sink: settings(t, url, set...), ID: "x", Host: "h"}
	try(context.Background(), y)
	return y
}

// TestTrial: each step, and what stops at which.
func TestTrial(t *testing.T) {
	ca := pki.New(t)
	secure := newTLSReceiver(t, ca, tls.RequireAndVerifyClientCert)
	cert, key := ca.Save("host1", ca.Issue("host1"))
	gone := newReceiver(t)
	gone.stop()
	closed := newReceiver(t)
	closed.answer = func(w http.ResponseWriter, q *http.Request, body []byte) bool {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return true
	}
	for name, tt := range map[string]struct {
		url   string
		set   func(*Config)
		steps string
		text  string // of the last one, or its fix
	}{
		"in clear":    {newReceiver(t).url(), func(*Config) {}, "name resolution: ok, connect: ok, acknowledgement: ok", "without log records (200 OK)"},
		"encrypted":   {secure.url(), func(c *Config) { c.CAFile, c.CertFile, c.KeyFile = ca.File, cert, key }, "name resolution: ok, connect: ok, tls: ok, authentication: ok, acknowledgement: ok", "200 OK"},
		"no CA":       {secure.url(), func(*Config) {}, "name resolution: ok, connect: ok, tls: failed", "ca_file"},
		"not proven":  {secure.url(), func(c *Config) { c.CAFile = ca.File }, "name resolution: ok, connect: ok, tls: ok, authentication: ok, acknowledgement: failed", "cert_file"},
		"nothing":     {gone.url(), func(*Config) {}, "name resolution: ok, connect: failed", "connection refused"},
		"no name":     {"http://receiver.invalid:4318", func(*Config) {}, "name resolution: failed", "receiver.invalid"},
		"not let in":  {closed.url(), func(*Config) {}, "name resolution: ok, connect: ok, acknowledgement: failed", `it says "who are you"`},
		"by a proxy":  {"http://receiver.invalid:4318", func(c *Config) { c.Proxy = newReceiver(t).url() }, "name resolution: ok, connect: ok, acknowledgement: ok", "200 OK"},
		"no receiver": {raw(t, func(c net.Conn) { io.WriteString(c, "220 mail ESMTP\r\n") }), func(*Config) {}, "name resolution: ok, connect: ok, acknowledgement: failed", "malformed HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			y := trialOf(t, tt.url, tt.set)
			var steps []string
			for _, s := range y.Steps {
				steps = append(steps, fmt.Sprintf("%s: %s", s.Name, s.Verdict))
			}
			last := y.Steps[len(y.Steps)-1]
			if strings.Join(steps, ", ") != tt.steps || !strings.Contains(last.Text+last.Fix, tt.text) {
				t.Errorf("%s: %s; %s", steps, last.Text, last.Fix)
			}
		})
	}
}

// TestConfig: what a configuration may say, and what is wrong with it.
func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "url is missing",
		`url = "collector:4318"`:                 "must begin with https",
		`url = "grpc://collector:4317"`:          "gRPC is not supported",
		`url = "https://user:pass@collector"`:    "has a user or password in it",
		`url = "https://user:pass@collector:x"`:  `"https://...@collector:x" is not a URL`,
		`url = "user:pass@collector:4318"`:       "has no scheme",
		`url = "grpc://user:pass@collector"`:     `"grpc://...@collector" has the scheme "grpc"`,
		`url = "https://collector/?token=pass@"`: `"https://...?..." has a query`,
		`url = "https://h"` + "\ncert_file = \"/c\"\nkey_file = \"pass@\"": "key_file: is not the absolute path of a file",
		`url = "https://collector/?token=x"`:                               `"https://collector/?..." has a query`,
		`url = "https://:4318"`:                                            "names no host",
		`url = "https://h:99999"`:                                          "names no host and port",
		`url = "http://h"` + "\nca_file = \"/x\"":                          "has no effect with an http URL",
		`url = "https://h"` + "\ncert_file = \"/x\"":                       "needs key_file",
		`url = "https://h"` + "\nheaders = { \"a b\" = \"/x\" }":           "is not the name of a header",
		`url = "https://h"` + "\nheaders = { Host = \"/x\" }":              "that the sink sets itself",
		`url = "https://h"` + "\nheaders = { X-A = \"/a\", x-a = \"/b\" }": `"X-A" and "x-a" are one header`,
		`url = "https://h"` + "\nheaders = { A = \"pass@\" }":              "is not the absolute path of a file",
		`url = "https://h"` + "\ndead_letter_dir = \"//\"":                 "must be a directory of the relay's own",
		`url = "https://h"` + "\nproxy = \"http://u:p@h\"":                 "proxy: has a user or password in it, which the sink does not send to a proxy",
		`url = "https://h"` + "\nformat = \"binary\"":                      "binary",
		`url = "https://h"` + "\nbatch_bytes = \"1GiB\"":                   "too large",
		`url = "https://h"` + "\nheaders = { X-Tenant = \"/t/x\" }":        "",
		`url = "http://[::1]:4318/x"`:                                      "",
	} {
		c, err := config.Parse("t.toml", []byte("state_dir = \"/s\"\n[sinks.a]\ntype = \"otlp\"\n"+text+"\n"))
		if got := fmt.Sprint(err); (want == "") != (err == nil) || !strings.Contains(got, want) || strings.Contains(got, "pass@") {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err == nil {
			if s := c.Sinks[0].Settings.(*Config); !c.Sinks[0].Events || c.Sinks[0].Format != "json" || s.DeadLetterDir != "/s/dead/a" {
				t.Errorf("%s: %+v, %+v", text, c.Sinks[0], s)
			}
		}
	}
	for from, want := range map[string]string{"https://h": "https://h/v1/logs", "http://h:4318/": "http://h:4318/v1/logs", "https://h/otlp/v1/logs": "https://h/otlp/v1/logs"} {
		if got := withPath(from); got != want {
			t.Errorf("%s became %s", from, got)
		}
	}
}
