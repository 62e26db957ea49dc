package plugin

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// resolveWithin bounds what a name server may cost at start.
const resolveWithin = 500 * time.Millisecond

// nodeName returns the name for node= that a name_format of auditd.conf(5)
// stands for. With an error it returns the next best.
func nodeName(format, name string) (string, error) {
	switch format {
	case "", "none":
		return "", nil
	case "user":
		return name, nil
	}
	host, err := os.Hostname()
	if err != nil || format == "hostname" {
		return host, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveWithin)
	defer cancel()
	if format == "fqd" {
		fqd, err := net.DefaultResolver.LookupCNAME(ctx, host)
		if err != nil {
			return host, fmt.Errorf("name_format = \"fqd\": %w; using the host name %s", err, host)
		}
		return strings.TrimSuffix(fqd, "."), nil
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil || len(addrs) == 0 {
		return host, fmt.Errorf("name_format = \"numeric\": no address for %s: %w; using the host name", host, err)
	}
	return addrs[0].String(), nil
}

// localNode is the node= of this host's own records, where auditd has
// name_format = hostname: the ids of other nodes are not looked up here.
func localNode() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}
