package nats

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	servers "audisp-relay/test/engine"
	"audisp-relay/test/pki"
)

// TestNkeyOverMutualTLS: TLS that begins at once, a certificate on both sides, and an nkey.
func TestNkeyOverMutualTLS(t *testing.T) {
	t.Parallel()
	ca := pki.New(t)
	cert, key := ca.Save("server", ca.Issue("127.0.0.1"))
	client := ca.Issue()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := kp.Seed()
	public, _ := kp.PublicKey()
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, handshake_first: true }\n"+
		"authorization { users: [ { nkey: %s }, { user: admin, password: admin } ] }",
		cert, key, ca.File, public)
	node := servers.StartNATS(t, 1, conf).Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL}, nats.UserInfo("admin", "admin"), nats.TLSHandshakeFirst(),
		nats.Secure(&tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client}}))
	admin.Make(servers.Records(1))

	cfg := testConfig(node.URL)
	cfg.NkeyFile, cfg.CAFile, cfg.TLSFirst = filepath.Join(t.TempDir(), "seed"), ca.File, true
	if err := os.WriteFile(cfg.NkeyFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, cfg)
	r.put(0, 100)
	r.start()
	r.says("connect to NATS", "certificate")
	r.stop()
	cfg.CertFile, cfg.KeyFile = ca.Save("client", client)
	r.start()
	r.drained()
	r.exact(admin, 100)
	if end := r.s.Status().Details.(*Details).CertificateEnd(); end.IsZero() {
		t.Error("the end of the certificate is not known")
	}
}

// token makes a JWT as NATS has them (nats-io/jwt, version 2), signed by kp.
func token(t *testing.T, kp nkeys.KeyPair, subject string, expires time.Time, claims map[string]any) string {
	t.Helper()
	issuer, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	claims["version"] = 2
	body := map[string]any{"jti": rand.Text(), "iat": time.Now().Unix(), "iss": issuer, "sub": subject, "name": subject, "nats": claims}
	if !expires.IsZero() {
		body["exp"] = expires.Unix()
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + enc.EncodeToString(text)
	sig, err := kp.Sign([]byte(signed))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(sig)
}

// TestExpiredCredentials: a JWT that expires is said, and one that replaces it in its file is
// used without a reload.
func TestExpiredCredentials(t *testing.T) {
	t.Parallel()
	operator, _ := nkeys.CreateOperator()
	account, _ := nkeys.CreateAccount()
	system, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	operatorID, _ := operator.PublicKey()
	accountID, _ := account.PublicKey()
	systemID, _ := system.PublicKey()
	userID, _ := user.PublicKey()
	seed, _ := user.Seed()
	limits := func(disk int) map[string]any { // the system's account may have no JetStream
		return map[string]any{"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
			"mem_storage": disk, "disk_storage": disk, "streams": disk, "consumer": disk}
	}
	preload := func(id string, disk int) string {
		return id + ": " + token(t, operator, id, time.Time{}, map[string]any{"type": "account", "limits": limits(disk)})
	}
	conf := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n%s\n%s\n}",
		token(t, operator, operatorID, time.Time{}, map[string]any{"type": "operator"}), systemID, preload(accountID, -1), preload(systemID, 0))
	file := filepath.Join(t.TempDir(), "relay.creds")
	renew := func(valid time.Duration) {
		jwt := token(t, account, userID, time.Now().Add(valid), map[string]any{"type": "user", "subs": -1, "data": -1, "payload": -1})
		text := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", jwt, seed)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	renew(time.Hour)
	node := servers.StartNATS(t, 1, conf).Nodes[0]
	admin := servers.NewAdmin(t, []string{node.URL}, nats.UserCredentials(file))
	admin.Make(servers.Records(1))
	cfg := testConfig(node.URL)
	cfg.CredsFile = file
	renew(3 * time.Second)
	r := newRig(t, cfg)
	r.start()
	r.put(0, 100)
	r.drained()
	r.says("connect to NATS", "the credentials have expired", "renew creds_file")
	r.put(100, 100)
	renew(time.Hour)
	r.drained()
	renew(time.Hour)
	r.exact(admin, 200)
}
