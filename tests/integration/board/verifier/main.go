// Verifies a board's log over HTTP with the code of Go's own checksum database, and knows nothing of coins.
//
//	verifier URL VERIFIER-KEY [OLD-CHECKPOINT-FILE]
//
// It opens the checkpoint with the key, reads every leaf's hash through tlog.TileHashReader, which checks tiles
// against the signed root, and compares it with the entry in its bundle. From the entries it builds the whole tree
// anew, and compares root and tiles with what the board has. (The older toolchains' TileHashReader doesn't check
// each full tile.) It makes proofs of inclusion and checks them, and a proof of growth from an older checkpoint if
// it is given one. The checkpoint that it verified is written to standard output. Exit 1 and a line on standard
// error at the first thing that is wrong.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
	// More than any file of a log may have.
	mostBytes = width * (2 + 65535)
)

var errNotFound = errors.New("not found")

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: verifier URL VERIFIER-KEY [OLD-CHECKPOINT-FILE]")
		os.Exit(2)
	}
	board := &board{prefix: strings.TrimSuffix(os.Args[1], "/")}
	if err := board.verify(os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
		os.Exit(1)
	}
}

// board is a log behind a URL.
type board struct {
	prefix string
	client http.Client
}

func (b *board) verify(key string, old []string) error {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	b.client.Timeout = 10 * time.Second
	signed, err := b.get("checkpoint")
	if err != nil {
		return err
	}
	tree, err := open(signed, verifier)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, b)
	leaves, err := b.verifyEntries(tree, hashes)
	if err != nil {
		return err
	}
	if err := b.verifyTiles(tree, leaves); err != nil {
		return err
	}
	if err := verifyInclusion(tree, hashes); err != nil {
		return err
	}
	for _, file := range old {
		if err := verifyGrowth(file, verifier, tree, hashes); err != nil {
			return err
		}
	}
	_, err = os.Stdout.Write(signed)
	return err
}

// open reads a checkpoint that the log signed: origin, size, root.
func open(signed []byte, log note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != log.Name() {
		return tlog.Tree{}, fmt.Errorf("checkpoint of %q", origin)
	}
	// The checksum database's own header stands where a log has its origin; size and root are written alike.
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	return tree, nil
}

// verifyEntries compares each entry's hash with the tree's; the hashes of all entries.
func (b *board) verifyEntries(tree tlog.Tree, hashes tlog.HashReader) ([]tlog.Hash, error) {
	var leaves []tlog.Hash
	for first := int64(0); first < tree.N; first += width {
		count := width
		if rest := tree.N - first; rest < width {
			count = int(rest)
		}
		bundle, err := b.tile("entries", first/width, count)
		if err != nil {
			return nil, err
		}
		entries, err := unpack(bundle)
		if err != nil || len(entries) < count {
			return nil, fmt.Errorf("the bundle of entry %d has %d whole entries instead of %d", first, len(entries), count)
		}
		wanted := make([]int64, count)
		for i := range wanted {
			wanted[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		said, err := hashes.ReadHashes(wanted)
		if err != nil {
			return nil, err
		}
		for i, entry := range entries[:count] {
			leaf := tlog.RecordHash(entry)
			if leaf != said[i] {
				return nil, fmt.Errorf("entry %d is not what the tree says", first+int64(i))
			}
			leaves = append(leaves, leaf)
		}
	}
	return leaves, nil
}

// verifyTiles builds the tree from its leaves and compares its root and all its tiles.
func (b *board) verifyTiles(tree tlog.Tree, leaves []tlog.Hash) error {
	if tree.N == 0 {
		if tree.Hash != sha256.Sum256(nil) {
			return errors.New("an empty tree has another root")
		}
		return nil
	}
	var stored []tlog.Hash
	built := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, built)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(tree.N, built)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the entries don't lead to the signed root")
	}
	for level, count := 0, tree.N; count > 0; level, count = level+1, count/width {
		for index := int64(0); index*width < count; index++ {
			tile := tlog.Tile{H: height, L: level, N: index, W: width}
			if rest := count - index*width; rest < width {
				tile.W = int(rest)
			}
			wanted, err := tlog.ReadTileData(tile, built)
			if err != nil {
				return err
			}
			said, err := b.ReadTiles([]tlog.Tile{tile})
			if err != nil {
				return err
			}
			if !bytes.Equal(wanted, said[0]) {
				return fmt.Errorf("%s is not what the entries say", tilePath(fmt.Sprint(level), index, tile.W))
			}
		}
	}
	return nil
}

// verifyInclusion makes and checks proofs for leaves at the edges of tiles and in between.
func verifyInclusion(tree tlog.Tree, hashes tlog.HashReader) error {
	for _, index := range []int64{0, 1, tree.N / 3, tree.N / 2, width - 1, width, tree.N - 1} {
		if index < 0 || index >= tree.N {
			continue
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return nil
}

// verifyGrowth checks that the tree begins with the one of an older checkpoint.
func verifyGrowth(file string, log note.Verifier, tree tlog.Tree, hashes tlog.HashReader) error {
	signed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	old, err := open(signed, log)
	if err != nil {
		return err
	}
	if old.N == 0 {
		return nil
	}
	if old.N > tree.N {
		return fmt.Errorf("the log shrank from %d to %d entries", old.N, tree.N)
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("growth from %d to %d entries: %w", old.N, tree.N, err)
	}
	return nil
}

// Height, ReadTiles and SaveTiles make the board a tlog.TileReader. What is saved has been authenticated; it is
// fetched again all the same, so that nothing is ever taken on trust.
func (b *board) Height() int { return height }

func (b *board) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		found, err := b.tile(fmt.Sprint(tile.L), tile.N, tile.W)
		if err != nil {
			return nil, err
		}
		if size := tile.W * tlog.HashSize; len(found) > size {
			found = found[:size]
		}
		data[i] = found
	}
	return data, nil
}

func (b *board) SaveTiles([]tlog.Tile, [][]byte) {}

// tile fetches a tile or bundle; the full one when the partial one has gone, as it may once the log has grown.
func (b *board) tile(level string, index int64, count int) ([]byte, error) {
	data, err := b.get(tilePath(level, index, count))
	if errors.Is(err, errNotFound) && count < width {
		return b.get(tilePath(level, index, width))
	}
	return data, err
}

// tilePath is a tile's path. The checksum database's have the height between "tile" and the level.
func tilePath(level string, index int64, count int) string {
	path := tlog.Tile{H: height, L: 0, N: index, W: count}.Path()
	return "tile/" + level + "/" + strings.TrimPrefix(path, fmt.Sprintf("tile/%d/0/", height))
}

// unpack cuts a bundle into entries: length 2, then as many bytes.
func unpack(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return entries, io.ErrUnexpectedEOF
		}
		size := int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < 2+size {
			return entries, io.ErrUnexpectedEOF
		}
		entries = append(entries, bundle[2:2+size])
		bundle = bundle[2+size:]
	}
	return entries, nil
}

func (b *board) get(path string) ([]byte, error) {
	response, err := b.client.Get(b.prefix + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w", path, errNotFound)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = fmt.Errorf("%s is too long", path)
	}
	return data, err
}
