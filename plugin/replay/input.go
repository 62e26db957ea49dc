package replay

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow is how far back a zstd stream may refer: as much memory it takes to unpack one.
// zstd itself unpacks no more unless asked to.
const maxWindow = 128 << 20

// packings are the ways in which logs are compressed, by the bytes they begin with.
var packings = []struct {
	magic string
	open  func(*bufio.Reader) (io.ReadCloser, error)
}{
	{"\x1f\x8b", func(r *bufio.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"\xfd7zXZ\x00", func(r *bufio.Reader) (io.ReadCloser, error) {
		z, err := xz.NewReader(r)
		return io.NopCloser(z), err
	}},
	{"\x28\xb5\x2f\xfd", func(r *bufio.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
	{"BZh", func(r *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// longestMagic is that of xz.
const longestMagic = 6

// packing returns how a file that begins with start is compressed, -1 for not.
func packing(start []byte) int {
	for i, p := range packings {
		if bytes.HasPrefix(start, []byte(p.magic)) {
			return i
		}
	}
	return -1
}

// input is a file and what unpacks it.
type input struct {
	io.Reader
	closers []io.Closer
}

func (in input) Close() error {
	for _, c := range in.closers {
		c.Close()
	}
	return nil
}

// OpenInput opens a stored stream, "-" is stdin, and unpacks it where it is compressed with
// gzip, xz, zstd or bzip2.
func OpenInput(name string) (io.ReadCloser, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}

	r := bufio.NewReaderSize(f, 64<<10)
	start, _ := r.Peek(longestMagic)
	i := packing(start)
	if i < 0 {
		return input{r, []io.Closer{f}}, nil
	}
	z, err := packings[i].open(r)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return input{z, []io.Closer{z, f}}, nil
}
