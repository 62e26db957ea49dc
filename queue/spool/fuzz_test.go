package spool

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// memFS is a directory with one file, for reading.
type memFS struct {
	osFS
	name string
	data []byte
}

func (fs memFS) List(string) ([]string, error)    { return []string{fs.name}, nil }
func (fs memFS) Open(string, int) (handle, error) { return memFile{data: fs.data}, nil }
func (f memFile) Close() error                    { return nil }
func (f memFile) Stat() (os.FileInfo, error)      { return f, nil }
func (f memFile) Size() int64                     { return int64(len(f.data)) }
func (f memFile) Mode() os.FileMode               { return 0 }
func (f memFile) ReadAt(p []byte, o int64) (int, error) {
	n := copy(p, f.data[min(int(o), len(f.data)):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

type memFile struct {
	handle
	os.FileInfo
	data []byte
}

// FuzzSegment: whatever a file holds, no panic, no hang, and no record reaches
// beyond its bytes. With seal the first frame is given right checksums, so that
// what is after them is tried too.
func FuzzSegment(f *testing.F) {
	dir, _ := smallLog(f)
	for _, path := range segments(f, dir) {
		h, err := osFS{}.Open(path, unix.O_RDONLY)
		if err != nil {
			f.Fatal(err)
		}
		data := make([]byte, 1<<20)
		n, _ := h.ReadAt(data, 0)
		h.Close()
		f.Add(data[:n], false)
		f.Add(data[:n], true)
		f.Add(data[headerSize:n], true)
	}
	f.Add([]byte(magic+magic), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(data)
		}
		st := store{fs: memFS{name: segmentName(1, 1, 1), data: data}}
		if err := st.scan(); err != nil {
			t.Fatal(err)
		}
		if st.damage.Bytes > uint64(len(data)) {
			t.Errorf("%d of %d bytes skipped", st.damage.Bytes, len(data))
		}
		end := uint64(0)
		for i, f := range st.frames {
			if (i > 0 && f.First < end) || f.Records == 0 {
				t.Fatalf("frame %+v after number %d", f, end)
			}
			end = f.end()
			b, err := st.read(f, nil, nil)
			if err != nil {
				continue
			}
			if len(b.Recs) != int(f.Records) || len(b.Buf) > maxText {
				t.Fatalf("%d records, %d bytes: %+v", len(b.Recs), len(b.Buf), f)
			}
			for i := range b.Recs {
				b.Bytes(i)
				b.Node(i)
				b.ID(i)
			}
		}
	})
}

// sealed makes a frame of what is at the beginning of data.
func sealed(data []byte) []byte {
	if len(data) < headerSize {
		return data
	}
	p := append([]byte(nil), data...)
	le := binary.LittleEndian
	copy(p, magic)
	le.PutUint32(p[8:], 1)
	le.PutUint32(p[12:], 1)
	le.PutUint32(p[16:], 0)
	records := min(le.Uint32(p[56:])%64, uint32(len(p)-headerSize)/metaSize)
	le.PutUint32(p[56:], records)
	if body := p[headerSize:]; records > 0 {
		le.PutUint32(p[60:], uint32(len(body))-records*metaSize)
		le.PutUint32(p[80:], crc32.Checksum(body, castagnoli))
	}
	le.PutUint32(p[4:], crc32.Checksum(p[8:headerSize], castagnoli))
	return p
}
