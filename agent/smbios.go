package agent

import "bytes"

// smbiosSerial finds the computer's serial number in an SMBIOS table (DMTF DSP0134): in
// the structure of type 1, byte 7 numbers one of the strings that follow it. Tables of
// firmware are not to be trusted; what does not fit gives "".
func smbiosSerial(table []byte) string {
	for len(table) >= 4 {
		kind, size := table[0], int(table[1])
		if size < 4 || size > len(table) {
			return ""
		}
		end := bytes.Index(table[size:], []byte{0, 0})
		if end < 0 {
			return ""
		}
		if kind == 1 && size > 7 {
			texts := bytes.Split(table[size:size+end], []byte{0})
			if n := int(table[7]); n >= 1 && n <= len(texts) {
				return string(texts[n-1])
			}
			return ""
		}
		table = table[size+end+2:]
	}
	return ""
}
