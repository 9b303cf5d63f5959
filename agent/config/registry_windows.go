package config

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/sys/windows/registry"
)

const (
	registryMaxNames = 1000    // of one key, far more than there are settings
	registryMaxValue = 1 << 18 // bytes
)

// registryPlaces reads a key of HKEY_LOCAL_MACHINE and those directly below it.
func registryPlaces(path string, installation bool) []place {
	p := place{name: `HKLM\` + path}
	top, err := readRegistry(registry.LOCAL_MACHINE, path)
	switch {
	case errors.Is(err, registry.ErrNotExist):
		return nil
	case err != nil:
		p.err = err
	default:
		p.root = registryNode(top, installation)
	}
	return []place{p}
}

func readRegistry(root registry.Key, path string) (*registryKey, error) {
	k, err := registry.OpenKey(root, path, registry.QUERY_VALUE|registry.ENUMERATE_SUB_KEYS|registry.WOW64_64KEY)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	top := &registryKey{keys: map[string][]registryValue{}}
	if top.values, err = readValues(k); err != nil {
		return nil, err
	}
	names, err := k.ReadSubKeyNames(registryMaxNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, name := range names {
		below, err := registry.OpenKey(k, name, registry.QUERY_VALUE|registry.WOW64_64KEY)
		if err != nil {
			return nil, err
		}
		top.keys[name], err = readValues(below)
		below.Close()
		if err != nil {
			return nil, err
		}
	}
	return top, nil
}

func readValues(k registry.Key) ([]registryValue, error) {
	names, err := k.ReadValueNames(registryMaxNames)
	if err != nil && !errors.Is(err, io.EOF) { // EOF says that there are no more
		return nil, err
	}
	var values []registryValue
	for _, name := range names {
		if name == "" { // the key's own default value
			continue
		}
		v, err := readValue(k, name)
		if errors.Is(err, registry.ErrNotExist) { // deleted meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values = append(values, v)
	}
	return values, nil
}

func readValue(k registry.Key, name string) (v registryValue, err error) {
	v.name = name
	n, kind, err := k.GetValue(name, nil)
	if err != nil && !errors.Is(err, registry.ErrShortBuffer) {
		return v, err
	}
	if n > registryMaxValue {
		return v, fmt.Errorf("more than %d bytes", registryMaxValue)
	}
	switch kind {
	case registry.SZ, registry.EXPAND_SZ:
		v.text, _, err = k.GetStringValue(name)
		if err == nil && kind == registry.EXPAND_SZ {
			v.text, err = registry.ExpandString(v.text)
		}
	case registry.MULTI_SZ:
		v.lines, _, err = k.GetStringsValue(name)
		if v.lines == nil {
			v.lines = []string{}
		}
	case registry.DWORD, registry.QWORD:
		var number uint64
		number, _, err = k.GetIntegerValue(name)
		v.text, v.number = strconv.FormatUint(number, 10), true
	default:
		v.stray, err = true, nil
	}
	return v, err
}
