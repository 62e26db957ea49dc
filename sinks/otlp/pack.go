package otlp

import (
	"bytes"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packer compresses requests. It belongs to one goroutine.
type packer struct {
	kind string
	gzip *gzip.Writer
	zstd *zstd.Encoder
}

// encoding is the header Content-Encoding, "" for none.
func (p *packer) encoding() string {
	if p.kind == "none" {
		return ""
	}
	return p.kind
}

// pack appends data, compressed, to dst.
func (p *packer) pack(dst, data []byte) ([]byte, error) {
	switch p.kind {
	case "gzip":
		to := bytes.NewBuffer(dst)
		if p.gzip == nil {
			w, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
			if err != nil {
				return dst, err
			}
			p.gzip = w
		}
		p.gzip.Reset(to)
		if _, err := p.gzip.Write(data); err != nil {
			return dst, err
		}
		err := p.gzip.Close()
		return to.Bytes(), err
	case "zstd":
		if p.zstd == nil {
			// Of one goroutine: a batch is compressed at once.
			e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
			if err != nil {
				return dst, err
			}
			p.zstd = e
		}
		return p.zstd.EncodeAll(data, dst), nil
	}
	return append(dst, data...), nil
}
