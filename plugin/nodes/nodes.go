// Package nodes knows what this host is called, in records without node= and in filters.
package nodes

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/host"
)

// resolveWithin bounds what a name server may cost at start, retryNames is how long after
// a look-up that failed the next one is made.
const (
	resolveWithin = 500 * time.Millisecond
	retryNames    = 10 * time.Second
)

// Nodes knows what this host is called. A name is looked up when a sink first asks for it,
// at a HUP, when the host's own name changes, and every ten seconds while that has failed.
type Nodes struct {
	parent int
	log    *zap.Logger
	ctx    context.Context
	end    context.CancelFunc
	looks  sync.WaitGroup
	// What tests put others in place of.
	hostname func() (string, error)
	resolve  func(ctx context.Context, nameFormat, host string) (string, error)
	auditd   func(parent int) (host.NodeInfo, error)

	mu    sync.Mutex // guards all below
	host  string     // the host's name when names were looked up last
	local string     // see format.HostNames
	known map[nodeKey]*entry
	busy  bool
	retry time.Time // zero: nothing has failed
}

// nodeKey is a name_format, and the name that "user" takes.
type nodeKey struct{ format, name string }

// entry is what a nodeKey gives.
type entry struct {
	now  atomic.Pointer[format.HostNames]
	said string // the error that was logged last
	host string // the host's name that now was made of
}

// New returns the names of this host, whose auditd is the process parent or above it.
func New(parent int, log *zap.Logger) *Nodes {
	n := &Nodes{
		parent: parent, log: log, known: make(map[nodeKey]*entry),
		hostname: os.Hostname, resolve: resolveNode, auditd: host.NodeOf,
	}
	n.ctx, n.end = context.WithCancel(context.Background())
	n.host, _ = n.hostname()
	n.local = n.findLocal(false)
	return n
}

// Close ends look-ups.
func (n *Nodes) Close() {
	n.end()
	n.looks.Wait()
}

// Local returns the node= of this host's own records, as users.Local takes it.
func (n *Nodes) Local() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.local
}

// Of returns what cfg's sink calls this host, kept up to date.
func (n *Nodes) Of(cfg config.Sink) *atomic.Pointer[format.HostNames] {
	key := nodeKey{cfg.NameFormat, cfg.NodeName}
	n.mu.Lock()
	e, there := n.known[key]
	if !there {
		e = new(entry)
		n.known[key] = e
	}
	local := n.local
	n.mu.Unlock()
	if !there {
		n.store(key, e, local)
	}
	return &e.now
}

// store looks up what key gives. It says what fails once.
func (n *Nodes) store(key nodeKey, e *entry, local string) {
	called, _ := n.hostname()
	name, err := n.nodeName(key)
	if err != nil && n.ctx.Err() != nil {
		return
	}
	said := ""
	if err != nil {
		said = err.Error()
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	old := e.now.Load()
	if err != nil {
		n.retry = time.Now().Add(retryNames)
		if old != nil && old.Node != "" && e.host == called {
			name = old.Node // better than another one while a name server is away
		}
		if said != e.said {
			n.log.Warn("node name", zap.String("name_format", key.format), zap.Error(err))
		}
	}

	e.said, e.host = said, called
	if now := (format.HostNames{Node: name, Local: local}); old == nil || *old != now {
		e.now.Store(&now)
	}
	if old != nil && old.Node != name {
		n.log.Info("node name has changed", zap.String("from", old.Node), zap.String("to", name))
	}
}

// LookUp looks all names up again, in the background.
func (n *Nodes) LookUp() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy || n.ctx.Err() != nil {
		return
	}
	n.busy, n.retry = true, time.Time{}
	n.looks.Go(n.lookUpNow)
}

func (n *Nodes) lookUpNow() {
	called, _ := n.hostname()
	local := n.findLocal(true)
	n.mu.Lock()
	n.host, n.local = called, local
	all := maps.Clone(n.known)
	n.mu.Unlock()
	for key, e := range all {
		n.store(key, e, local)
	}
	n.mu.Lock()
	n.busy = false
	n.mu.Unlock()
}

// Follow looks names up again where that has to be: once a second this is asked.
func (n *Nodes) Follow(now time.Time) {
	called, err := n.hostname()
	n.mu.Lock()
	due := (err == nil && called != n.host) || (!n.retry.IsZero() && now.After(n.retry))
	n.mu.Unlock()
	if due {
		n.LookUp()
	}
}

// findLocal returns the node= that auditd gives this host's own records. Where it hands on
// no others, any is this host's: names of users do not depend on a name then. ask: a name
// server may be asked, else that is left to the next look-up.
func (n *Nodes) findLocal(ask bool) string {
	info, err := n.auditd(n.parent)
	switch {
	case err != nil: // another program feeds the relay
		called, _ := n.hostname()
		return called
	case !info.Others:
		return users.EveryNode
	case !ask && (info.Format == "fqd" || info.Format == "numeric"):
		n.retry = time.Now()
		return n.host
	}
	name, _ := n.nodeName(nodeKey{info.Format, info.Name}) // the host's name where it is not to be had
	return name
}

// nodeName returns the name for node= that a name_format of auditd.conf(5)
// gives. With an error it returns the next best.
func (n *Nodes) nodeName(key nodeKey) (string, error) {
	switch key.format {
	case "", "none":
		return "", nil
	case "user":
		return key.name, nil
	}
	called, err := n.hostname()
	if err != nil || key.format == "hostname" {
		return called, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, resolveWithin)
	defer cancel()
	name, err := n.resolve(ctx, key.format, called)
	if err != nil {
		return called, err
	}
	return name, nil
}

// resolveNode asks name servers for what "fqd" and "numeric" mean.
func resolveNode(ctx context.Context, nameFormat, called string) (string, error) {
	if nameFormat == "fqd" {
		fqd, err := net.DefaultResolver.LookupCNAME(ctx, called)
		if err != nil {
			return "", fmt.Errorf("name_format = \"fqd\": %w; using the host name %s until that works", err, called)
		}
		return strings.TrimSuffix(fqd, "."), nil
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, called)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("it has none")
	}
	if err != nil {
		return "", fmt.Errorf("name_format = \"numeric\": no address for %s: %w; using the host name until that works", called, err)
	}
	return addrs[0].String(), nil
}

// Fixed returns names that stay: node for records without node=, and the host's own name for those
// of this host, as nothing more is known.
func Fixed(node string) *atomic.Pointer[format.HostNames] {
	p := new(atomic.Pointer[format.HostNames])
	host, _ := os.Hostname()
	p.Store(&format.HostNames{Node: node, Local: host})
	return p
}

// Now returns what a sink calls this host now, for a replay.
func Now(cfg config.Sink, log *zap.Logger) *atomic.Pointer[format.HostNames] {
	n := &Nodes{log: log, hostname: os.Hostname, resolve: resolveNode, ctx: context.Background()}
	name, err := n.nodeName(nodeKey{cfg.NameFormat, cfg.NodeName})
	if err != nil {
		log.Warn("node name", zap.String("sink", cfg.Name), zap.Error(err))
	}
	return Fixed(name)
}
