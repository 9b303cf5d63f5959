package keys

// Sealed is a key file that lies on the disk sealed to this device: what the
// organisation left for it at the archive. A missing file is one without keys. Safe for
// concurrent use.
type Sealed struct{ File }

// NewSealed names the file; open turns its bytes into those of a key file, and its
// errors quote nothing of them.
func NewSealed(path string, open func([]byte) ([]byte, error)) *Sealed {
	s := &Sealed{newFile(path, true)}
	s.unseal = open
	return s
}

// Name says where the keys come from, for listings.
func (s *Sealed) Name() string { return "archive" }

// List names what the file has keys for.
func (s *Sealed) List() ([]Listed, error) {
	set, err := s.load()
	if err != nil {
		return nil, err
	}
	return set.list(s.Name()), nil
}

// CheckFile reports whether the bytes are a key file. The error quotes nothing of them.
func CheckFile(data []byte) error {
	_, err := parse(data)
	return err
}
