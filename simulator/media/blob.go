package media

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// noise is n random bytes.
func noise(r *rand.Rand, n int) []byte {
	var seed [32]byte
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], r.Uint64())
	}
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// stillPicture is a stand-in for wxgf: the magic, a header with its length in byte 4,
// and one HEVC stream in Annex B form behind its length. The payload is noise.
func stillPicture(r *rand.Rand, size int) []byte {
	const header = 24
	out := append([]byte("wxgf"), header, 1)
	out = append(out, noise(r, header-len(out))...)
	out = binary.BigEndian.AppendUint32(out, uint32(size-header-4))
	for _, unit := range []struct{ kind, n int }{{0x40, 24}, {0x42, 40}, {0x44, 8}} { // parameter sets
		out = append(append(out, 0, 0, 0, 1, byte(unit.kind), 1), nal(r, unit.n)...)
	}
	out = append(out, 0, 0, 0, 1, 0x26, 1) // a picture that needs no other
	return append(out, nal(r, size-len(out))...)
}

// nal is n bytes that hold no start code: none is zero.
func nal(r *rand.Rand, n int) []byte {
	b := noise(r, n)
	for i, c := range b {
		b[i] = max(c, 1)
	}
	return b
}

// silk is a stand-in for a voice message of that length: the byte 0x02, the SILK
// magic, and a block for each 20 ms behind its length in 16 bits.
func silk(r *rand.Rand, ms int) []byte {
	out := []byte("\x02#!SILK_V3")
	for range max(1, ms/20) {
		n := 20 + r.IntN(40)
		out = append(binary.LittleEndian.AppendUint16(out, uint16(n)), noise(r, n)...)
	}
	return out
}

// document is a file of about that size which programs take for what its extension
// says: pdf, docx, or bytes without a format.
func document(r *rand.Rand, extension string, size int) []byte {
	switch extension {
	case "pdf":
		return pdf(noise(r, size))
	case "docx":
		return docx(noise(r, size))
	}
	return noise(r, size)
}

// pdf is one empty page, and a stream that nothing shows.
func pdf(stream []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	var at []int
	for i, body := range []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(stream), stream),
	} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	start := b.Len()
	b.WriteString("xref\n0 5\n0000000000 65535 f \n")
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}

// docx is a document of one paragraph, and a part that nothing shows.
func docx(part []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range []struct{ name, body string }{
		{"[Content_Types].xml", `<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Default Extension="bin" ContentType="application/octet-stream"/><Override PartName="/word/document.xml" ` +
			`ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`},
		{"_rels/.rels", `<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>`},
		{"word/document.xml", `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">` +
			`<w:body><w:p><w:r><w:t>合同草案 Draft</w:t></w:r></w:p></w:body></w:document>`},
		{"word/media/part.bin", string(part)},
	} {
		w, err := z.Create(f.name)
		if err == nil {
			_, err = w.Write([]byte(f.body))
		}
		if err != nil {
			panic(err) // into memory
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
