package plugin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"audisp-relay/plugin/top"
)

// TestTopOverTheControlSocket: what came shows by its key and program, a loop by our own pid, and
// another request than the two is refused.
func TestTopOverTheControlSocket(t *testing.T) {
	t.Parallel()
	p, w, end := run(t, "[sinks.f]\ntype = \"file\"\npath = \"DIR/f\"\n", nil)
	pid := os.Getpid()
	for i := range 40 {
		ppid := 1
		if i%4 == 0 {
			ppid = pid
		}
		fmt.Fprintf(w, "type=SYSCALL msg=audit(1795296167.053:%d): arch=c000003e syscall=2 success=yes exit=3 items=0 ppid=%d pid=1 auid=1000 uid=0 exe=\"/bin/p%d\" key=\"k\"\n", i+1, ppid, i%4)
		fmt.Fprintf(w, "type=EOE msg=audit(1795296167.053:%d): \n", i+1)
	}
	// Who asks while the reader picks can cost what is picked just then. Records are picked before they are delivered.
	wait(t, "all is delivered", func() bool { return p.Report().Consumers[0].Delivered == 80 })
	var r *top.Report
	wait(t, "all 80 records are counted", func() bool {
		var err error
		r, err = (&Client{RunDir: p.cfg.RunDir}).Top()
		return err == nil && r.Start.Records > 79.5
	})
	row := r.By["exe"][0]
	if r.By["key"][0].Name != "k" || r.By["key"][0].Start.Share != 1 || len(r.By["exe"]) != 4 || row.Minute == nil {
		t.Errorf("%+v", r.By)
	}
	for _, row := range r.By["exe"] {
		if isLoop := row.Start.Own > 0.5; isLoop != (row.Name == "/bin/p0") || row.Start.Share != 0.25 {
			t.Errorf("%+v", row)
		}
	}
	if r.Start.Own != 0.25 || len(r.Remedies) == 0 {
		t.Errorf("%+v", r.Start)
	}

	conn, err := net.Dial("unix", filepath.Join(p.cfg.RunDir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(conn, "topple")
	answer := make([]byte, 200)
	if n, err := conn.Read(answer); err != nil || !strings.Contains(string(answer[:n]), "error") {
		t.Errorf("%q, %v", answer[:n], err)
	}
	end()
}
