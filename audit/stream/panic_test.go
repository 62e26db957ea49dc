package stream

import (
	"io"
	"math"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestAPanicCostsNoByte: a fault in what cuts the stream costs no byte of it, and what follows is cut.
func TestAPanicCostsNoByte(t *testing.T) {
	const first, second, third = "type=CWD msg=audit(1.000:1): a\n", "type=CWD msg=audit(1.000:2): b\ntype=CWD msg=audit(1.000:3): c\n", "type=CWD msg=audit(1.000:4): d\n"
	in := &pieces{first, second, third}
	r := NewReader(in)
	reported := 0
	r.Panicked = func(any) { reported++ }
	var all strings.Builder
	var b record.Batch
	var ids []bool
	for n := 0; ; n++ {
		if n == 1 {
			r.sp.scanned = math.MinInt32
		}
		err := r.Next(&b)
		if err == io.EOF {
			break
		}
		for i := range b.Recs {
			all.Write(b.Bytes(i))
			ids = append(ids, b.Recs[i].HasID())
		}
	}
	if all.String() != first+second+third || reported != 1 {
		t.Errorf("called %d times, got %q", reported, all.String())
	}
	if len(ids) != 4 || !ids[0] || ids[1] || ids[2] || !ids[3] {
		t.Errorf("records with an id: %v", ids)
	}
	if c := r.Counts(); c.Records != 4 || c.NoID != 2 {
		t.Errorf("%+v", c)
	}
}

// pieces are what each read brings.
type pieces []string

func (p *pieces) Read(buf []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(buf, (*p)[0])
	*p = (*p)[1:]
	return n, nil
}
