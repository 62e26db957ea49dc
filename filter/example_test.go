package filter_test

import (
	"fmt"

	"audisp-relay/audit/record"
	"audisp-relay/filter"
)

func ExampleCompile() {
	f, err := filter.Compile(`key == "exec" and auid >= 1000`)
	if err != nil {
		fmt.Println(err)
		return
	}

	m := f.New()
	for _, line := range []string{
		"type=SYSCALL msg=audit(1700000000.007:42): arch=c000003e syscall=59 auid=1000 key=\"exec\"\n",
		"type=SYSCALL msg=audit(1700000000.007:43): arch=c000003e syscall=59 auid=0 key=\"exec\"\n",
	} {
		b := record.Batch{Buf: []byte(line), Recs: []record.Record{{Len: uint32(len(line))}}}
		new(record.HeaderReader).Read(&b.Recs[0], b.Buf)
		keep, err := m.Keep(&b, 0, len(b.Recs))
		fmt.Println(keep, err)
	}

	// Output:
	// true <nil>
	// false <nil>
}

func ExampleError() {
	_, err := filter.Compile(`auid = 1000`)
	fmt.Println(err)

	// Output:
	// 1:6: = does not compare: write ==
	//   auid = 1000
	//        ^
}
