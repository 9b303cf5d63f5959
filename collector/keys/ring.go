package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tidemark/collector/sqlcipher"
)

// Source answers which keys may open an account's databases, and which its images. An
// error means that it could not be asked. Safe for concurrent use.
type Source interface {
	Name() string
	Keys(ctx context.Context, account string) ([]sqlcipher.Key, error)
	ImageKeys(ctx context.Context, account string) ([]ImageKey, error)
}

// Ring asks several sources in order. It implements collector.Keys and is safe for
// concurrent use.
type Ring struct{ sources []Source }

// NewRing makes a ring of the sources, the first being asked first.
func NewRing(sources ...Source) *Ring { return &Ring{slices.Clone(sources)} }

// Keys gives the keys of all sources, each once, in the order of the sources. A
// source that fails hides no other's keys: the error is returned only when no key
// was found, for then one may have been missed.
func (r *Ring) Keys(ctx context.Context, account string) ([]sqlcipher.Key, error) {
	return collect(r.sources, func(s Source) ([]sqlcipher.Key, error) { return s.Keys(ctx, account) }, sqlcipher.Key.Equal)
}

// ImageKeys gives the keys of an account's images, as Keys does those of databases.
func (r *Ring) ImageKeys(ctx context.Context, account string) ([]ImageKey, error) {
	return collect(r.sources, func(s Source) ([]ImageKey, error) { return s.ImageKeys(ctx, account) }, ImageKey.Equal)
}

func collect[K any](sources []Source, ask func(Source) ([]K, error), equal func(K, K) bool) ([]K, error) {
	var out []K
	var errs []error
	for _, s := range sources {
		given, err := ask(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name(), err))
			continue
		}
		for _, k := range given {
			if !slices.ContainsFunc(out, func(o K) bool { return equal(k, o) }) {
				out = append(out, k)
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, errors.Join(errs...)
}

// List names what the sources have keys for. A source that cannot list, such as a
// helper, stands with its name alone; one that fails is in the error.
func (r *Ring) List() ([]Listed, error) {
	var out []Listed
	var errs []error
	for _, s := range r.sources {
		l, ok := s.(interface{ List() ([]Listed, error) })
		if !ok {
			out = append(out, Listed{Source: s.Name()})
			continue
		}
		listed, err := l.List()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name(), err))
		}
		out = append(out, listed...)
	}
	return out, errors.Join(errs...)
}

// Problems says what is wrong with the sources now: files that cannot be read, that
// are not of the format or that too many may read. Helpers are not asked.
func (r *Ring) Problems() []error {
	var out []error
	for _, s := range r.sources {
		if l, ok := s.(interface{ List() ([]Listed, error) }); ok {
			if _, err := l.List(); err != nil {
				out = append(out, err)
			}
		}
		if p, ok := s.(interface{ Problem() error }); ok {
			if err := p.Problem(); err != nil {
				out = append(out, err)
			}
		}
	}
	return out
}
