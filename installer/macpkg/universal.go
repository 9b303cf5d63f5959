package macpkg

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"fmt"
)

// sliceAlign is the power of two at which each program begins: a page of arm64.
const sliceAlign = 14

// Universal joins programs for different processors into one file that runs on each.
func Universal(programs ...[]byte) ([]byte, error) {
	header := binary.BigEndian.AppendUint32(nil, macho.MagicFat)
	header = binary.BigEndian.AppendUint32(header, uint32(len(programs)))
	var body []byte
	const start = 1 << sliceAlign // the header is far smaller
	for _, p := range programs {
		f, err := macho.NewFile(bytes.NewReader(p))
		if err != nil {
			return nil, fmt.Errorf("universal program: %w", err)
		}
		body = append(body, make([]byte, -len(body)&(start-1))...)
		for _, v := range []uint32{uint32(f.Cpu), f.SubCpu, uint32(start + len(body)), uint32(len(p)), sliceAlign} {
			header = binary.BigEndian.AppendUint32(header, v)
		}
		body = append(body, p...)
	}
	return append(append(header, make([]byte, start-len(header))...), body...), nil
}
