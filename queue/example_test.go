package queue_test

import (
	"fmt"

	"audisp-relay/audit/record"
	"audisp-relay/queue"
)

// The reader puts records in; a sink takes them through a cursor, delivers them, and
// acknowledges what was delivered.
func Example() {
	q := queue.New(queue.Options{Config: queue.Config{Depth: 1000, Bytes: 1 << 20, Hold: true}})
	line := "type=USER_LOGIN msg=audit(1700000000.123:7): pid=1\n"
	q.Put(&record.Batch{
		Buf:  []byte(line),
		Recs: []record.Record{{Len: uint32(len(line)), Type: 1112, Serial: 7, Millis: 1700000000123}},
	})

	cursor := q.Cursor()
	defer cursor.Close()
	b, err := cursor.Take()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", b.Bytes(0))
	cursor.Advance(len(b.Recs)) // not before the records are delivered

	c := q.Counts()
	fmt.Println(c.Received, c.Delivered, c.Queued)
	// Output:
	// type=USER_LOGIN msg=audit(1700000000.123:7): pid=1
	// 1 1 0
}
