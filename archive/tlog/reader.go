package tlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	f_log "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// Reader reads a log's files. It holds nothing open and may be used concurrently.
type Reader struct {
	dir   string
	files client.FileFetcher
}

// NewReader returns a reader of the log in the folder.
func NewReader(dir string) *Reader {
	return &Reader{dir: dir, files: client.FileFetcher{Root: dir}}
}

// treeState is what Tessera's POSIX driver keeps of the tree: it may be ahead of
// the checkpoint, never behind it.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func (r *Reader) treeState() (treeState, error) {
	var s treeState
	raw, err := os.ReadFile(filepath.Join(r.dir, ".state", "treeState"))
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("read log state: %w", ErrMissing)
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read log state: %w", err)
	}
	return s, nil
}

// Size returns the number of entries, signed for or not yet.
func (r *Reader) Size() (uint64, error) {
	s, err := r.treeState()
	return s.Size, err
}

// readable says whether the log's state can be read and its checkpoint verifies. It does
// not compare them: Tessera may sign a state whose name is not on the disk yet, so after
// a power cut the state may be behind by what nobody was given a receipt for.
func (r *Reader) readable(v note.Verifier) error {
	if _, err := r.treeState(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := r.checkpoint(v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// bundle returns the n-th bundle of entries of a log of the given size.
func (r *Reader) bundle(ctx context.Context, n uint64, size uint64) ([][]byte, error) {
	raw, err := r.files.ReadEntryBundle(ctx, n, layout.PartialTileSize(0, n, size))
	if err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("read entries of bundle %d: %w", n, err)
	}
	want := min(size-n*layout.EntryBundleWidth, layout.EntryBundleWidth)
	// A bundle that has filled up meanwhile stands in for its partial form.
	if got := uint64(len(b.Entries)); got != want && got != layout.EntryBundleWidth {
		return nil, fmt.Errorf("read entries of bundle %d: %d instead of %d", n, len(b.Entries), want)
	}
	return b.Entries[:want], nil
}

// Find looks for entries, newest first, and returns the index of each that is in
// the log; the key is the entry as a string. It reads no further back than it must.
func (r *Reader) Find(ctx context.Context, entries [][]byte) (map[string]uint64, error) {
	size, err := r.Size()
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(entries))
	for _, e := range entries {
		wanted[string(e)] = true
	}
	found := make(map[string]uint64, len(entries))
	for n := (size + layout.EntryBundleWidth - 1) / layout.EntryBundleWidth; n > 0 && len(wanted) > 0; n-- {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bundle, err := r.bundle(ctx, n-1, size)
		if err != nil {
			return nil, err
		}
		for i := len(bundle) - 1; i >= 0; i-- {
			if e := string(bundle[i]); wanted[e] {
				found[e] = (n-1)*layout.EntryBundleWidth + uint64(i)
				delete(wanted, e)
			}
		}
	}
	return found, nil
}

// Check recomputes the whole tree from the entries and compares it with the
// tiles, with the driver's state and with the signed checkpoint. It calls visit
// for each entry in order and fault for each thing that is wrong, and returns the
// number of entries and how many of them a checkpoint covers. An error means that
// the check could not be made.
func (r *Reader) Check(ctx context.Context, v note.Verifier, visit func(index uint64, entry []byte), fault func(error)) (size, signed uint64, err error) {
	state, err := r.treeState()
	if err != nil {
		fault(err)
	}
	// The checkpoint second: a log that grows meanwhile may have signed more than
	// the state just read, which is then read again.
	checkpoint, cerr := r.checkpoint(v)
	if cerr != nil {
		fault(cerr)
	} else if checkpoint.Size > state.Size {
		if again, err := r.treeState(); err == nil {
			state = again
		}
		if checkpoint.Size > state.Size {
			fault(fmt.Errorf("log state has %d entries, the checkpoint %d", state.Size, checkpoint.Size))
			state.Size, state.Root = checkpoint.Size, checkpoint.Hash
		}
	}
	c := &checker{reader: r, size: state.Size, fault: fault, tiles: map[compact.NodeID][]byte{}}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	compare := func(what string, size uint64, root []byte) {
		got, err := tree.GetRootHash(nil)
		if tree.End() == 0 {
			got = rfc6962.DefaultHasher.EmptyRoot()
		}
		if err != nil || !bytes.Equal(got, root) {
			fault(fmt.Errorf("log entries do not hash to the root of the %s of size %d", what, size))
		}
	}
	for n := range (state.Size + layout.EntryBundleWidth - 1) / layout.EntryBundleWidth {
		if err := ctx.Err(); err != nil {
			return state.Size, 0, err
		}
		bundle, err := r.bundle(ctx, n, state.Size)
		if err != nil {
			fault(err)
			return state.Size, 0, nil // without these entries the rest can't be placed in the tree
		}
		for _, e := range bundle {
			if cerr == nil && tree.End() == checkpoint.Size {
				compare("checkpoint", checkpoint.Size, checkpoint.Hash)
			}
			visit(tree.End(), e)
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(e), c.node); err != nil {
				return state.Size, 0, fmt.Errorf("check log: %w", err)
			}
		}
	}
	c.partialTiles()
	if cerr == nil && tree.End() == checkpoint.Size {
		compare("checkpoint", checkpoint.Size, checkpoint.Hash)
	}
	compare("state", state.Size, state.Root)
	if cerr == nil {
		signed = checkpoint.Size
	}
	return state.Size, signed, nil
}

func (r *Reader) checkpoint(v note.Verifier) (*f_log.Checkpoint, error) {
	raw, err := os.ReadFile(filepath.Join(r.dir, layout.CheckpointPath))
	if err != nil {
		return nil, fmt.Errorf("read log checkpoint: %w", err)
	}
	c, rest, n, err := f_log.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		return nil, fmt.Errorf("log checkpoint: %w", err)
	}
	// Whatever stands in the file and is not signed by the log's key is not ours.
	if len(rest) > 0 || len(n.UnverifiedSigs) > 0 {
		return nil, errors.New("log checkpoint says more than the log wrote")
	}
	return c, nil
}

// checker collects the tree's nodes into tiles and compares each full one with
// its file.
type checker struct {
	reader *Reader
	size   uint64
	fault  func(error)
	tiles  map[compact.NodeID][]byte
}

func (c *checker) node(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 {
		return // tiles hold their lowest row only
	}
	tile := compact.NodeID{Level: id.Level / layout.TileHeight, Index: id.Index / layout.TileWidth}
	c.tiles[tile] = append(c.tiles[tile], hash...)
	if len(c.tiles[tile]) == layout.TileWidth*len(hash) {
		c.compare(tile)
	}
}

func (c *checker) partialTiles() {
	for tile := range c.tiles {
		c.compare(tile)
	}
}

func (c *checker) compare(tile compact.NodeID) {
	want := c.tiles[tile]
	delete(c.tiles, tile)
	level := uint64(tile.Level)
	partial := layout.PartialTileSize(level, tile.Index, c.size)
	got, err := c.reader.files.ReadTile(context.Background(), level, tile.Index, partial)
	if err != nil {
		c.fault(fmt.Errorf("read log tile: %w", err))
		return
	}
	whole := len(got) == len(want) || len(got) == layout.TileWidth*rfc6962.DefaultHasher.Size()
	if !whole || !bytes.HasPrefix(got, want) {
		c.fault(fmt.Errorf("log tile %s does not fit the entries", layout.TilePath(level, tile.Index, partial)))
	}
}
