//go:build !linux

package sqlcipher

func readAhead(f file, off, n int64) error { return readThrough(f, off, n) }
