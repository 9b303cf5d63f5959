package macpkg

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"time"
)

// member is a file in the archive.
type member struct {
	name string
	data []byte
}

// The forms of a xar's table of contents.
type (
	xarSum struct {
		Style string `xml:"style,attr"`
		Sum   string `xml:",chardata"`
	}
	xarEncoding struct {
		Style string `xml:"style,attr"`
	}
	xarData struct {
		Length    int         `xml:"length"`
		Offset    int         `xml:"offset"`
		Size      int         `xml:"size"`
		Encoding  xarEncoding `xml:"encoding"`
		Extracted xarSum      `xml:"extracted-checksum"`
		Archived  xarSum      `xml:"archived-checksum"`
	}
	xarFile struct {
		ID    int       `xml:"id,attr"`
		Data  *xarData  `xml:"data"`
		Mode  string    `xml:"mode"`
		Owner string    `xml:"user"`
		UID   int       `xml:"uid"`
		Group string    `xml:"group"`
		GID   int       `xml:"gid"`
		Time  string    `xml:"mtime"`
		Type  string    `xml:"type"`
		Name  string    `xml:"name"`
		Files []xarFile `xml:"file"`
	}
	xarChecksum struct {
		Style  string `xml:"style,attr"`
		Offset int    `xml:"offset"`
		Size   int    `xml:"size"`
	}
	xarTOC struct {
		XMLName  xml.Name    `xml:"xar"`
		Checksum xarChecksum `xml:"toc>checksum"`
		Created  string      `xml:"toc>creation-time"`
		Files    []xarFile   `xml:"toc>file"`
	}
)

// xar writes an archive of some files and one folder: a header of 28 bytes, the table of
// contents as XML under zlib, its SHA-1, and the files, which are stored as they are,
// for what is big in a package is compressed already. SHA-1 is what pkgbuild uses there;
// it finds damage and proves nothing, for which there are signatures.
func xar(date time.Time, top []member, folder string, inside []member) ([]byte, error) {
	stamp := date.UTC().Format("2006-01-02T15:04:05Z")
	var heap bytes.Buffer
	heap.Write(make([]byte, sha1.Size)) // the table's digest
	id := 0
	head := func(name, kind, mode string) xarFile {
		id++
		return xarFile{ID: id, Name: name, Type: kind, Mode: mode, Owner: "root", Group: "wheel", Time: stamp}
	}
	file := func(m member) xarFile {
		f := head(m.name, "file", "0644")
		sum := sha1.Sum(m.data)
		digest := xarSum{"sha1", hex.EncodeToString(sum[:])}
		f.Data = &xarData{len(m.data), heap.Len(), len(m.data), xarEncoding{"application/octet-stream"}, digest, digest}
		heap.Write(m.data)
		return f
	}
	toc := xarTOC{Checksum: xarChecksum{"sha1", 0, sha1.Size}, Created: stamp}
	for _, m := range top {
		toc.Files = append(toc.Files, file(m))
	}
	dir := head(folder, "directory", "0755")
	for _, m := range inside {
		dir.Files = append(dir.Files, file(m))
	}
	toc.Files = append(toc.Files, dir)

	text := document(toc)
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	sum := sha1.Sum(packed.Bytes())
	copy(heap.Bytes(), sum[:])

	out := []byte("xar!")
	out = binary.BigEndian.AppendUint16(out, 28) // length of this header
	out = binary.BigEndian.AppendUint16(out, 1)  // version
	out = binary.BigEndian.AppendUint64(out, uint64(packed.Len()))
	out = binary.BigEndian.AppendUint64(out, uint64(len(text)))
	out = binary.BigEndian.AppendUint32(out, 1) // SHA-1
	out = append(out, packed.Bytes()...)
	return append(out, heap.Bytes()...), nil
}
