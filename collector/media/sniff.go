package media

import (
	"bytes"
	"encoding/binary"
)

// SniffLen is how many of the first bytes [Sniff] can make use of.
const SniffLen = 32

// The kinds of content that the formats of the client are told by.
const (
	mimeJPEG = "image/jpeg"
	mimePNG  = "image/png"
	mimeGIF  = "image/gif"
	mimeBMP  = "image/bmp"
	mimeTIFF = "image/tiff"
	mimeWebP = "image/webp"
	mimeWXGF = "image/x-wxgf" // the client's own, HEVC inside [B]; it has no registered name
	mimeMP4  = "video/mp4"
	mimeSILK = "audio/x-silk"
)

// pictures are the magics of pictures [A], the longest first: of two that match, the
// longer is less likely to by accident.
var pictures = []struct {
	magic []byte
	mime  string
}{
	{[]byte("\x89PNG"), mimePNG},
	{[]byte("GIF8"), mimeGIF},
	{[]byte("II*\x00"), mimeTIFF},
	{[]byte("wxgf"), mimeWXGF},
	{[]byte("RIFF"), mimeWebP},
	{[]byte("\xff\xd8\xff"), mimeJPEG},
	{[]byte("BM"), mimeBMP},
}

// picture names a picture by its first bytes, "" when it is none. Two of the magics
// want more: RIFF is any sound or film as well, and BM are two letters.
func picture(head []byte) string {
	for _, p := range pictures {
		if !bytes.HasPrefix(head, p.magic) {
			continue
		}
		switch p.mime {
		case mimeWebP:
			if len(head) < 12 || string(head[8:12]) != "WEBP" {
				continue
			}
		case mimeBMP:
			if len(head) < 18 || !bytes.Equal(head[6:10], make([]byte, 4)) {
				continue
			}
			switch binary.LittleEndian.Uint32(head[14:]) { // length of the header that follows
			case 12, 40, 52, 56, 64, 108, 124:
			default:
				continue
			}
		}
		return p.mime
	}
	return ""
}

// others are magics of contents that are not pictures.
var others = []struct {
	offset int
	magic  string
	mime   string
}{
	{0, "\x02#!SILK_V3", mimeSILK}, // [A]
	{0, "#!SILK_V3", mimeSILK},
	{0, "#!AMR", "audio/amr"},
	{4, "ftypqt", "video/quicktime"},
	{4, "ftyp", mimeMP4},
	{0, "\x1aE\xdf\xa3", "video/x-matroska"},
	{0, "ID3", "audio/mpeg"},
	{0, "%PDF-", "application/pdf"},
	{0, "PK\x03\x04", "application/zip"},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"},
	{0, "Rar!\x1a\x07", "application/vnd.rar"},
	{0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"},
	{0, "\x1f\x8b", "application/gzip"},
}

// byExtension are documents whose first bytes say only what they are packed in.
var byExtension = map[string]map[string]string{
	"application/zip": {
		".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	},
	"application/x-ole-storage": {
		".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	},
}

// Sniff names a content by its first bytes, and by the name's extension only where
// the bytes say that it may be so; "" when they say nothing.
func Sniff(head []byte, name string) string {
	if mime := picture(head); mime != "" {
		return mime
	}
	for _, o := range others {
		if len(head) >= o.offset+len(o.magic) && string(head[o.offset:o.offset+len(o.magic)]) == o.magic {
			if mime := byExtension[o.mime][extension(name)]; mime != "" {
				return mime
			}
			return o.mime
		}
	}
	return ""
}
