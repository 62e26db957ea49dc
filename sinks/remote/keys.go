package remote

import "audisp-relay/config"

// ReadKeys reads the keys of an encrypted connection: ca_file, cert_file, key_file and server_name. Where the
// connection is in clear, why is what is wrong with each that is set; otherwise it is "".
func ReadKeys(t *config.Table, why string) (f Files) {
	for _, key := range []struct {
		name  string
		value *string
		check func(string) error
	}{
		{"ca_file", &f.CA, config.FilePath}, {"cert_file", &f.Cert, config.FilePath},
		{"key_file", &f.Key, config.SecretPath}, {"server_name", &f.ServerName, checkServerName},
	} {
		t.Str(key.name, key.value, config.EmptyOr(key.check))
		if *key.value != "" && why != "" {
			t.Errorf(key.name, "%s", why)
			*key.value = ""
		}
	}

	if why == "" && HasHalfPair(t) {
		f.Cert, f.Key = "", ""
	}
	return f
}

// HasHalfPair reports a certificate without a key, or a key without a certificate, as an error of the user's.
func HasHalfPair(t *config.Table) bool {
	for _, pair := range [][2]string{{"cert_file", "key_file"}, {"key_file", "cert_file"}} {
		if have, lack := pair[0], pair[1]; t.Empty(lack) && !t.Empty(have) {
			t.Errorf(have, "needs %s: a certificate and its key belong together", lack)
			return true
		}
	}
	return false
}
