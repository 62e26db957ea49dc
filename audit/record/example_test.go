package record_test

import (
	"fmt"

	"audisp-relay/audit/record"
)

// A batch is a buffer and the records in it. Whoever reads a stream fills both.
func ExampleParse() {
	line := []byte("node=web1 type=SYSCALL msg=audit(1700000000.007:42): arch=c000003e syscall=59 comm=\"sh\" key=(null)\x1dARCH=x86_64 SYSCALL=execve\n")
	b := record.Batch{Buf: line, Recs: []record.Record{{Len: uint32(len(line))}}}
	new(record.HeaderReader).Read(&b.Recs[0], line)

	r := record.Parse(&b, 0)
	fmt.Printf("%s of %s, %s\n", b.AppendType(nil, 0), r.Node, r.ID)
	s := record.Scan(r.Body)
	for s.Next() {
		fmt.Printf("%s is %s", s.Key, s.Value)
		if name, ok := r.Name(nil, s.Key); ok {
			fmt.Printf(", which is %s", name)
		}
		fmt.Println()
	}

	// Output:
	// SYSCALL of web1, 1700000000.007:42
	// arch is c000003e, which is x86_64
	// syscall is 59, which is execve
	// comm is "sh"
	// key is (null)
}

// The kernel writes text that a user may have chosen in quotes, or in hex.
func ExampleUnquote() {
	for _, value := range []string{`"/usr/bin/id"`, "2F746D702F612062", "(null)"} {
		text, ok := record.Unquote(nil, []byte(value))
		fmt.Printf("%s %v\n", text, ok)
	}

	// Output:
	// /usr/bin/id true
	// /tmp/a b true
	// (null) false
}
