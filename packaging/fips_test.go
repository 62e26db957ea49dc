package packaging_test

import (
	"crypto/fips140"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"audisp-relay/test/pki"
)

// fipsProgram is a program built as with make build FIPS=1, but for the profile, with which all of it
// would have to be compiled again.
type fipsProgram struct {
	path   string
	module string // GOFIPS140
}

func buildFIPS(t *testing.T) fipsProgram {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles the program")
	}
	setting := regexp.MustCompile(`GOFIPS140=(v\S+) .*\bbuild\b`)
	commands := output(t, "make", "-n", "-C", "..", "build", "FIPS=1")
	found := setting.FindStringSubmatch(commands)
	if found == nil {
		t.Fatalf("make build FIPS=1 names no module:\n%s", commands)
	}
	if plain := output(t, "make", "-n", "-C", "..", "build", "FIPS="); setting.MatchString(plain) {
		t.Errorf("make build is one for FIPS:\n%s", plain)
	}

	p := fipsProgram{filepath.Join(t.TempDir(), "audisp-relay"), found[1]}
	cmd := exec.Command("go", "build", "-trimpath", "-pgo=off", "-o", p.path, "../cmd/audisp-relay")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFIPS140="+p.module)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return p
}

// run runs the program with nothing in its environment but env.
func (p fipsProgram) run(t *testing.T, env []string, args ...string) (text string, code int) {
	t.Helper()
	cmd := exec.Command(p.path, args...)
	cmd.Env = append([]string{}, env...) // nil would be that of the test
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// outside puts a program out of FIPS mode.
var outside = []string{"GODEBUG=fips140=off"}

// agreed is the step of doctor --sink that has a TLS session.
var agreed = regexp.MustCompile(`(?m)^ +tls +ok `)

// TestFIPS: the program is in FIPS 140-3 mode with an empty environment, which is what auditd leaves a
// plugin, and there it refuses a server that has only what is not approved. Outside of the mode the
// same program takes that server, so that it is the mode that makes the difference.
func TestFIPS(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the servers of this test have to be outside of FIPS mode: run it without GOFIPS140 and GODEBUG")
	}
	p := buildFIPS(t)
	on := "FIPS 140-3 mode: on, Go Cryptographic Module " + p.module
	for _, arg := range []string{"version", "--version"} {
		if text, _ := p.run(t, nil, arg); !strings.Contains(text, on) {
			t.Errorf("%s prints %q, want %q in it", arg, text, on)
		}
	}
	if text, _ := p.run(t, outside, "version"); !strings.Contains(text, "FIPS 140-3 mode: off") {
		t.Errorf("outside of the mode version prints %q", text)
	}

	for _, test := range []struct {
		name    string
		server  *tls.Config
		refused bool
	}{
		{"TLS 1.3, P-256", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256}}, false},
		{"TLS 1.3, X25519 with ML-KEM", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, false},
		{"TLS 1.2, AES", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, false},
		{"TLS 1.3, X25519", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}, true},
		{"TLS 1.2, ChaCha20", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			doctor := []string{"doctor", "--sink", "loghost", "--config", serveTLS(t, test.server)}
			if text, _ := p.run(t, outside, doctor...); !agreed.MatchString(text) {
				t.Errorf("outside of FIPS mode there is no TLS session:\n%s", text)
			}
			text, _ := p.run(t, nil, doctor...)
			switch {
			case agreed.MatchString(text) == test.refused:
				t.Errorf("in FIPS mode the server is refused: %v\n%s", !test.refused, text)
			case test.refused && (!strings.Contains(text, "refuses the TLS handshake") || !strings.Contains(text, "in FIPS mode this program takes")):
				t.Errorf("the error does not say what FIPS mode takes:\n%s", text)
			}
		})
	}
}

// serveTLS starts a server that takes what comes, and returns the path of a configuration with a sink
// of type syslog for it. It ends with the test.
func serveTLS(t *testing.T, cfg *tls.Config) (config string) {
	t.Helper()
	dir := t.TempDir()
	ca := pki.New(t)
	cfg.Certificates = []tls.Certificate{ca.Issue("127.0.0.1")}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.Copy(io.Discard, tls.Server(c, cfg)) // a client that refuses the handshake is a part of the test
			c.Close()
		}
	}()

	config = filepath.Join(dir, "audisp-relay.toml")
	text := fmt.Sprintf("run_dir = %q\nstate_dir = %q\n[sinks.loghost]\ntype = \"syslog\"\ntransport = \"tls\"\naddress = %q\nca_file = %q\n",
		dir+"/run", dir+"/state", ln.Addr(), ca.File)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}
