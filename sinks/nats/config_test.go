package nats

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"audisp-relay/config"
	_ "audisp-relay/format/all"
)

// TestWrongKeys: what cannot work is an error at the key that is wrong.
func TestWrongKeys(t *testing.T) {
	for _, c := range []struct{ keys, want string }{
		{`servers = []`, "servers: has 0 servers"},
		{`servers = ["ws://a:80"]`, `has the scheme "ws"`},
		{`servers = ["nats://u:p@a:4222"]`, "password_file"},
		{`servers = ["nats://u:p@ss@a:x"]`, `"nats://...@a:x" is not a server`},
		{`servers = ["u:p@ss@a:x"]`, `"...@a:x" is not a server`},
		{`servers = ["http://u:p@ss@a:1"]`, "has a user or password in it"},
		{`servers = ["nats://a?p@ss"]`, `"nats://...?..." is not a server`},
		{"servers = [\"a\"]\npassword_file = \"p@ss\"\nuser = \"u\"", "password_file: is not the absolute path of a file"},
		{"servers = [\"a\"]\ntoken_file = \"p@ss\"", "token_file: is not the absolute path of a file"},
		{"servers = [\"a\"]\nnkey_file = \"p@ss\"", "nkey_file: is not the absolute path of a file"},
		{"servers = [\"a\"]\ncreds_file = \"p@ss\"", "creds_file: is not the absolute path of a file"},
		{"servers = [\"a\"]\ncert_file = \"/c\"\nkey_file = \"p@ss\"", "key_file: is not the absolute path of a file"},
		{`servers = ["nats://a:99999"]`, "port"},
		{`servers = ["nats://a/x"]`, "is not a server"},
		{"servers = [\"a\\u001b\"]", "is not a server"},
		{"servers = [\"a\"]\ncreds_file = \"/c\"\ntoken_file = \"/t\"", "does not go together with creds_file"},
		{"servers = [\"a\"]\nuser = \"u\"", "needs password_file"},
		{"servers = [\"a\"]\npassword_file = \"/p\"", "needs user"},
		{"servers = [\"a\"]\ncert_file = \"/p\"", "needs key_file"},
		{"servers = [\"a\"]\none_event_a_message = true", "one of events"},
		{"servers = [\"a\"]\nformat = \"json\"\none_event_a_message = true\npartitions = 2", "partitions"},
		{"servers = [\"a\"]\nformat = \"binary\"", "format"},
		{"servers = [\"a\"]\ngather_ms = -1", "gather_ms"},
		{"servers = [\"a\"]\nretain_acked = \"1KiB\"", "retain_acked"},
		{"servers = [\"a\"]\npartitions = 5000", "partitions"},
	} {
		_, err := config.Parse("t.toml", []byte("[sinks.a]\ntype = \"nats\"\n"+c.keys+"\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "p@ss") {
			t.Errorf("%s: %v, want %q and no secret", c.keys, err, c.want)
		}
	}
}

// TestServersWithoutScheme: a host and port are enough, and TLS is what the keys say.
func TestServersWithoutScheme(t *testing.T) {
	cfg, err := config.Parse("t.toml", []byte("[sinks.a]\ntype = \"nats\"\nservers = [\"a:4222\", \"tls://b\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Sinks[0].Settings.(*Config)
	if fmt.Sprint(c.Servers) != "[nats://a:4222 tls://b]" || !c.TLS() {
		t.Errorf("%v, TLS %v", c.Servers, c.TLS())
	}
	if _, text := (&Config{Servers: []string{"nats://a:4222"}}).Advise(); text == "" {
		t.Error("no warning of records in clear")
	}
	if key, _ := (&Config{Servers: []string{"tls://127.0.0.1:4222", "tls://a:4222"}}).Advise(); key != "ca_file" {
		t.Errorf("TLS without ca_file: a warning of key %q", key)
	}
	if _, text := (&Config{Servers: []string{"tls://a:4222"}, CAFile: "/ca.pem"}).Advise(); text != "" {
		t.Errorf("a warning for TLS with ca_file: %s", text)
	}
	if _, text := (&Config{Servers: []string{"nats://127.0.0.1:4222"}}).Advise(); text != "" {
		t.Errorf("a warning for loopback: %s", text)
	}
}

// TestSecretFiles: a secret that others can read is refused, one that is none is said, and no
// error shows any of it.
func TestSecretFiles(t *testing.T) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := kp.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "seed")
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    string
	}{{string(seed), 0o600, ""}, {string(seed), 0o644, "chmod"}, {"SUnonsense", 0o600, "no nkey seed"}, {"", 0o600, "no nkey seed"}} {
		if err := os.WriteFile(file, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := (&Config{NkeyFile: file}).auth()
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.8q, mode %o: %v, want %q", c.content, c.mode, err, c.want)
		}
		if err != nil && len(c.content) > 0 && strings.Contains(err.Error(), c.content) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
