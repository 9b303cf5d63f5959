package msi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// summary is the format id of the stream that holds title, author and times
// (MS-OLEPS, FMTID_SummaryInformation).
var summary = []byte{0xe0, 0x85, 0x9f, 0xf2, 0xf9, 0x4f, 0x68, 0x10, 0xab, 0x91, 0x08, 0x00, 0x2b, 0x27, 0xb3, 0xd9}

const (
	propertyCreated = 12
	propertySaved   = 13
	typeFileTime    = 0x40
)

var errForm = errors.New("package for Windows Installer: the times are not where they should be")

// setTimes writes the date over both times of the summary, in place. The stream is
// small and written at once, so it stands in one piece in the file.
func setTimes(file []byte, date time.Time) error {
	at := bytes.Index(file, summary)
	if at < 28 || at+len(summary)+4 > len(file) {
		return errForm
	}
	stream := file[at-28:] // FMTID stands after the header of 28 bytes
	section := int(binary.LittleEndian.Uint32(file[at+len(summary):]))
	if section+8 > len(stream) {
		return errForm
	}
	stream = stream[section:]
	count := int(binary.LittleEndian.Uint32(stream[4:]))
	if count > 100 || 8+8*count > len(stream) {
		return errForm
	}
	set := 0
	for i := range count {
		id := binary.LittleEndian.Uint32(stream[8+8*i:])
		offset := int(binary.LittleEndian.Uint32(stream[12+8*i:]))
		if id != propertyCreated && id != propertySaved {
			continue
		}
		if offset+12 > len(stream) || binary.LittleEndian.Uint32(stream[offset:]) != typeFileTime {
			return errForm
		}
		// 100 ns since 1601.
		binary.LittleEndian.PutUint64(stream[offset+4:], uint64(date.Unix()+11644473600)*1e7)
		set++
	}
	if set != 2 {
		return errForm
	}
	return nil
}
