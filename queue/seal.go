package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// macSize is how many bytes of the HMAC a marker has.
const macSize = 16

// MAC returns what proves that a marker with this text, from "type=" to before
// " mac=", was made by who has the key: HMAC-SHA256, the first 16 bytes, in hex.
func MAC(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return hex.AppendEncode(nil, h.Sum(nil)[:macSize])
}
