package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	servers "audisp-relay/test/engine"
)

// pki is a CA and what it has signed, in files.
type pki struct {
	t    *testing.T
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newPKI(t *testing.T) *pki {
	p := &pki{t: t, dir: t.TempDir()}
	p.ca, p.key = p.make("ca", nil)
	return p
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

// make makes a certificate and its key, NAME.pem and NAME-key.pem.
func (p *pki) make(name string, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.last++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(p.last), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: signer == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent := p.ca
	if signer == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		p.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(p.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return made, key
}

// TestNkeyOverMutualTLS: TLS that begins at once, a certificate on both sides, and an nkey.
func TestNkeyOverMutualTLS(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	p.make("server", p.key)
	p.make("client", p.key)
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := kp.Seed()
	public, _ := kp.PublicKey()
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, handshake_first: true }\n"+
		"authorization { users: [ { nkey: %s }, { user: admin, password: admin } ] }",
		p.file("server.pem"), p.file("server-key.pem"), p.file("ca.pem"), public)
	node := servers.StartNATS(t, 1, conf).Nodes[0]
	pair, err := tls.LoadX509KeyPair(p.file("client.pem"), p.file("client-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.ca)
	admin := servers.NewAdmin(t, []string{node.URL}, nats.UserInfo("admin", "admin"), nats.TLSHandshakeFirst(),
		nats.Secure(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}))
	admin.Make(servers.Records(1))

	cfg := testConfig(node.URL)
	cfg.NkeyFile, cfg.CAFile, cfg.TLSFirst = filepath.Join(t.TempDir(), "seed"), p.file("ca.pem"), true
	if err := os.WriteFile(cfg.NkeyFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, cfg)
	r.put(0, 100)
	r.start()
	r.says("connect to NATS", "certificate")
	r.stop()
	cfg.CertFile, cfg.KeyFile = p.file("client.pem"), p.file("client-key.pem")
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
