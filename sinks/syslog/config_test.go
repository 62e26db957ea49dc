package syslog

import (
	"strings"
	"testing"

	"audisp-relay/config"
)

// TestRELPIsEncryptedOnlyWhenAsked: relp is in clear until a key says something about encryption.
func TestRELPIsEncryptedOnlyWhenAsked(t *testing.T) {
	for text, want := range map[string]bool{
		"transport = 'tcp'":  false,
		"transport = 'tls'":  true,
		"transport = 'relp'": false,
		"transport = 'relp'\nca_file = ''\nserver_name = ''":    false,
		"transport = 'relp'\nca_file = '/ca'":                   true,
		"transport = 'relp'\ncert_file = '/c'\nkey_file = '/k'": true,
		"transport = 'relp'\nserver_name = 'loghost.example'":   true,
		"transport = 'relp'\nserver_name = '2001:db8::1'":       true,
		"transport = 'local'\naddress = '/x'\nserver_name = ''": false,
	} {
		if !strings.Contains(text, "address") {
			text += "\naddress = 'h:1'"
		}
		c, err := config.Parse("t.toml", []byte("[sinks.a]\ntype = 'syslog'\n"+text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.Sinks[0].Settings.(*Config).TLS(); got != want {
			t.Errorf("%q: TLS %v, want %v", text, got, want)
		}
	}
}
