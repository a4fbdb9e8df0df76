package main

// ofBuildkitd is what buildkitd is built with, besides ofBuildKit.
var ofBuildkitd = map[string][]Edit{
	// Go's own gzip writer takes most of the time of exporting a large layer, on one core. The bytes that this one writes
	// depend on the block size, which is fixed, and not on how many blocks are compressed at a time.
	"github.com/moby/buildkit": {
		{
			File: "util/compression/gzip.go",
			Old: `	"compress/gzip"
	"context"
	"io"
`,
			New: `	"context"
	"io"
	"runtime"
	"time"
`,
		},
		{
			File: "util/compression/gzip.go",
			Old: `	"github.com/containerd/containerd/v2/core/images"
`,
			New: `	"github.com/containerd/containerd/v2/core/images"
	gzip "github.com/klauspost/pgzip"
`,
		},
		{
			File: "util/compression/gzip.go",
			Old: `		level := gzip.DefaultCompression
`,
			// What Go's own writer takes. This one's default is a level lower.
			New: `		level := 6
`,
		},
		{
			File: "util/compression/gzip.go",
			Old: `		return gzip.NewWriterLevel(dest, level)
`,
			New: `		writer, err := gzip.NewWriterLevel(dest, level)
		if err != nil {
			return nil, err
		}
		// RFC 1952: 0 means that there is no time stamp.
		writer.ModTime = time.Unix(0, 0)
		return writer, writer.SetConcurrency(1<<20, runtime.GOMAXPROCS(0))
`,
		},
		// zstd's writer compresses parts of a layer on all cores. A part is four times as large as the window. The window is
		// smaller than the 8 MB that it is otherwise, because each core needs memory for several parts. As with gzip, the
		// bytes don't depend on the number of cores, of which the writer has to believe that there are two.
		{
			File: "util/compression/zstd.go",
			Old: `		var opts []zstd.EOption
`,
			New: `		opts := []zstd.EOption{
			zstd.WithConcurrentBlocks(true),
			zstd.WithEncoderConcurrency(min(max(runtime.GOMAXPROCS(0), 2), 8)),
			zstd.WithWindowSize(2 << 20),
		}
`,
		},
		{
			File: "util/compression/zstd.go",
			Old: `	"io"
`,
			New: `	"io"
	"runtime"
`,
		},
		// The label containerd.io/uncompressed of a blob is its diff ID. BuildKit writes it of the layers that it makes. With this
		// edit it also writes it of a layer whose plain bytes it has just compared with the diff ID in its base's config.
		{
			File: "cache/refs.go",
			Old: `		return errors.Errorf("failed to verify layer %s: expected diffID %s, got %s", desc.Digest, sr.getDiffID(), applied.Digest)
	}
`,
			New: `		return errors.Errorf("failed to verify layer %s: expected diffID %s, got %s", desc.Digest, sr.getDiffID(), applied.Digest)
	}
	label, err := labelOfUnpacked(ctx, sr.cm.ContentStore, desc, applied)
	if err == nil && label != "" {
		info := content.Info{Digest: desc.Digest, Labels: map[string]string{label: applied.Digest.String()}}
		_, err = sr.cm.ContentStore.Update(ctx, info, "labels."+label)
	}
	if err != nil {
		unmount()
		return err
	}
`,
		},
		// The programs that decompress gzip for containerd ignore what follows the last member. Go's own reader takes it for an
		// error, and so do gets. What the last member doesn't tell by its size is read once more: several members, as eStargz
		// has them, and what is followed by something.
		{
			File: "cache/refs.go",
			Old:  `func (sr *immutableRef) unlazyLayer(`,
			New: `// LabelFollowed is the label of a blob that is gzip with something other than zeros behind its last member.
const LabelFollowed = "buildkit/gzip.followed"

// labelOfUnpacked answers the label of a layer whose plain bytes, as they were unpacked, are those of its diff ID. It is empty
// if Go's reader doesn't read the same bytes.
func labelOfUnpacked(ctx context.Context, store content.Provider, desc, applied ocispecs.Descriptor) (string, error) {
	blob, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	layer := bufio.NewReaderSize(content.NewReader(blob), 1<<20)
	if head, _ := layer.Peek(len(gzipMagic)); !bytes.Equal(head, gzipMagic) {
		return labels.LabelUncompressed, nil
	}
	var size [4]byte
	if _, err := blob.ReadAt(size[:], blob.Size()-int64(len(size))); err != nil {
		return "", err
	}
	if binary.LittleEndian.Uint32(size[:]) == uint32(applied.Size) {
		return labels.LabelUncompressed, nil
	}
	plain, isFollowed, err := readMembers(layer)
	switch {
	case err != nil || plain != applied.Digest:
		return "", nil
	case isFollowed:
		return LabelFollowed, nil
	}
	return labels.LabelUncompressed, nil
}

// gzipMagic is what every member of gzip begins with (RFC 1952).
var gzipMagic = []byte{0x1f, 0x8b}

// readMembers reads all members of gzip. It answers the digest of their plain bytes, and whether something other than zeros
// follows the last one.
func readMembers(blob *bufio.Reader) (digest.Digest, bool, error) {
	plain := digest.SHA256.Digester()
	member, err := gzip.NewReader(blob)
	for err == nil {
		member.Multistream(false)
		if _, err := io.Copy(plain.Hash(), member); err != nil {
			return "", false, err
		}
		next, err := blob.Peek(len(gzipMagic))
		if err != nil && err != io.EOF {
			return "", false, err
		}
		if !bytes.Equal(next, gzipMagic) {
			isFollowed, err := hasOtherThanZeros(blob)
			return plain.Digest(), isFollowed, err
		}
		if err := member.Reset(blob); err != nil {
			return "", false, err
		}
	}
	return "", false, err
}

func hasOtherThanZeros(reader io.Reader) (bool, error) {
	buffer := make([]byte, 1<<15)
	for {
		n, err := reader.Read(buffer)
		if len(bytes.Trim(buffer[:n], "\x00")) > 0 {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (sr *immutableRef) unlazyLayer(`,
		},
		{
			File: "cache/refs.go",
			Old: `	"context"
	stderrors "errors"
`,
			New: `	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	stderrors "errors"
`,
		},
		{
			File: "cache/refs.go",
			Old: `	"fmt"
	"maps"
`,
			New: `	"fmt"
	"io"
	"maps"
`,
		},
		{
			File: "cache/refs.go",
			Old: `	cerrdefs "github.com/containerd/errdefs"
`,
			New: `	cerrdefs "github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
`,
		},
		// Tells the client which of an exported image's layers have these labels. buildctl writes it into its metadata file. A
		// frontend can't write it: all that the client gets of a frontend's result begins with "frontend.".
		{
			File: "exporter/containerimage/writer.go",
			Old: `type ImageWriter struct {
	opt WriterOpt
}
`,
			New: `type ImageWriter struct {
	opt WriterOpt
}

// TellLayers adds what is known of the layers that Commit has committed to the exporter's response. A layer that isn't here
// has not been looked at. "proven" has for each layer with a known diff ID the layer's digest, a blank, the diff ID and a
// comma. "followed" has the digest of each that has something behind its gzip, and a comma. Line breaks would fail an export
// to a tar archive, which takes the response as gRPC metadata.
func (ic *ImageWriter) TellLayers(ctx context.Context, committed *result.Result[*solver.Remote], response map[string]string) {
	var proven, followed strings.Builder
	_ = committed.EachRef(func(remote *solver.Remote) error {
		for _, layer := range remote.Descriptors {
			info, err := ic.opt.ContentStore.Info(ctx, layer.Digest)
			if err != nil {
				continue
			}
			if diffID := info.Labels[labels.LabelUncompressed]; diffID != "" {
				fmt.Fprintf(&proven, "%s %s,", layer.Digest, diffID)
			} else if info.Labels[cache.LabelFollowed] != "" {
				fmt.Fprintf(&followed, "%s,", layer.Digest)
			}
		}
		return nil
	})
	response["containerimage.layers.proven"] = proven.String()
	response["containerimage.layers.followed"] = followed.String()
}
`,
		},
		{
			File: "exporter/containerimage/export.go",
			Old: `	resp := make(map[string]string)
`,
			New: `	resp := make(map[string]string)
	e.opt.ImageWriter.TellLayers(ctx, committedRemotes, resp)
`,
		},
		{
			File: "exporter/oci/export.go",
			Old:  `	desc, _, err := e.opt.ImageWriter.Commit(`,
			New:  `	desc, committed, err := e.opt.ImageWriter.Commit(`,
		},
		{
			File: "exporter/oci/export.go",
			Old: `	resp := make(map[string]string)
`,
			New: `	resp := make(map[string]string)
	e.opt.ImageWriter.TellLayers(ctx, committed, resp)
`,
		},
		// Without a linter, a "# check=" comment above an instruction ended the whole daemon. There is none when the stages of a
		// Dockerfile are listed (frontend.targets), nor for a trigger of a base image (ONBUILD).
		{
			File: "frontend/dockerfile/linter/linter.go",
			Old: `	cloned := *lc
`,
			New: `	if lc == nil {
		return nil
	}
	cloned := *lc
`,
		},
		// What is wrong in a Dockerfile is told with its place, but not if the frontend is only asked about it.
		{
			File: "frontend/dockerfile/builder/build.go",
			Old: `	defer func() {
		var el *parser.LocationError
		if errors.As(err, &el) {
			for _, l := range el.Locations {
				err = wrapSource(err, src.SourceMap, l)
			}
		}
	}()

	var scanner sbom.Scanner
`,
			New: `	var scanner sbom.Scanner
`,
		},
		{
			File: "frontend/dockerfile/builder/build.go",
			Old:  `	if res, ok, err := bc.HandleSubrequest(`,
			New: `	defer func() {
		var el *parser.LocationError
		if errors.As(err, &el) {
			for _, l := range el.Locations {
				err = wrapSource(err, src.SourceMap, l)
			}
		}
	}()

	if res, ok, err := bc.HandleSubrequest(`,
		},
		// These pages show what google.golang.org/grpc records, which it doesn't with the tag grpcnotrace, and their
		// templates would keep buildkitd large: see buildkit.go.
		{
			File: "cmd/buildkitd/debug.go",
			Old: `	m.Handle("/debug/requests", http.HandlerFunc(trace.Traces))
	m.Handle("/debug/events", http.HandlerFunc(trace.Events))
`,
		},
		{
			File: "cmd/buildkitd/debug.go",
			Old: `	// setting debugaddr is opt-in. permission is defined by listener address
	trace.AuthRequest = func(_ *http.Request) (bool, bool) {
		return true, true
	}
`,
		},
		{
			File: "cmd/buildkitd/debug.go",
			Old: `	"golang.org/x/net/trace"
`,
		},
	},
}
