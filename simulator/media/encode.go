package media

import (
	"crypto/aes"
	"encoding/binary"
)

// Encoding is how a file is stored.
type Encoding string

// The encodings.
const (
	Plain Encoding = "plain"
	XOR   Encoding = "xor" // every byte with one byte: 3.x, and 4.x until mid 2025
	V1    Encoding = "v1"  // 4.x with the published AES key
	V2    Encoding = "v2"  // 4.x with the account's AES key
)

// Keys are the secrets of an account's pictures.
type Keys struct {
	XOR byte
	AES [16]byte // of V2; the client uses 16 printable characters
}

// v1Key is the constant that every client had before August 2025.
var v1Key = [16]byte([]byte("cfcd208495d565ef"))

// Encode is plain as it is stored. It is plain itself where nothing is to be done.
func Encode(plain []byte, e Encoding, k Keys) []byte {
	switch e {
	case XOR:
		return xor(plain, k.XOR)
	case V1:
		return layered(plain, 1, v1Key, k.XOR)
	case V2:
		return layered(plain, 2, k.AES, k.XOR)
	}
	return plain
}

func xor(b []byte, key byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c ^ key
	}
	return out
}

// layered is the form of V1 and V2: 15 bytes of header, the first 1024 bytes in
// AES-128-ECB, a middle as it is, and a tail that is XORed.
func layered(plain []byte, version byte, key [16]byte, x byte) []byte {
	head := min(1024, len(plain))
	rest := len(plain) - head
	tail := min(1024, (rest+1)/2)

	out := append(make([]byte, 0, len(plain)+31), 7, 8, 'V', '0'+version, 8, 7)
	out = binary.LittleEndian.AppendUint32(out, uint32(head))
	out = binary.LittleEndian.AppendUint32(out, uint32(tail))
	out = append(out, 1)

	pad := 16 - head%16 // PKCS#7: a whole block when nothing is missing
	start := len(out)
	out = append(out, plain[:head]...)
	for range pad {
		out = append(out, byte(pad))
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the length is right
	}
	for i := start; i < len(out); i += 16 {
		block.Encrypt(out[i:i+16], out[i:i+16])
	}
	out = append(out, plain[head:len(plain)-tail]...)
	return append(out, xor(plain[len(plain)-tail:], x)...)
}
