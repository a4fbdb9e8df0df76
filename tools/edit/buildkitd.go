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
	if endsWithItsSize(ctx, sr.cm.ContentStore, desc, applied.Size) {
		proven := content.Info{Digest: desc.Digest, Labels: map[string]string{labels.LabelUncompressed: applied.Digest.String()}}
		if _, err := sr.cm.ContentStore.Update(ctx, proven, "labels."+labels.LabelUncompressed); err != nil {
			unmount()
			return err
		}
	}
`,
		},
		// The programs that decompress gzip for containerd ignore what follows the last member. Go's own reader takes it for an
		// error, and so do gets.
		{
			File: "cache/refs.go",
			Old: `func (sr *immutableRef) unlazyLayer(`,
			New: `// endsWithItsSize tells whether the last bytes of a layer, if it is gzip, are the size of its plain bytes, as they are of one
// member with nothing behind it.
func endsWithItsSize(ctx context.Context, store content.Provider, desc ocispecs.Descriptor, size int64) bool {
	blob, err := store.ReaderAt(ctx, desc)
	if err != nil {
		return false
	}
	defer blob.Close()
	var head [2]byte
	var last [4]byte
	if _, err := blob.ReadAt(head[:], 0); err != nil {
		return false
	}
	if head != [2]byte{0x1f, 0x8b} {
		return true
	}
	_, err = blob.ReadAt(last[:], max(0, blob.Size()-int64(len(last))))
	return err == nil && binary.LittleEndian.Uint32(last[:]) == uint32(size)
}

func (sr *immutableRef) unlazyLayer(`,
		},
		{
			File: "cache/refs.go",
			Old: `	"context"
	stderrors "errors"
`,
			New: `	"context"
	"encoding/binary"
	stderrors "errors"
`,
		},
		// Tells the client which of an exported image's layers have such a label. buildctl writes it into its metadata file. A
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

// ProvenLayersKey is a key of the exporter's response, whose value has a line for each layer with a known diff ID: the
// layer's digest, a blank, and the diff ID.
const ProvenLayersKey = "containerimage.layers.proven"

// ProvenLayers returns the value of ProvenLayersKey for what Commit has committed.
func (ic *ImageWriter) ProvenLayers(ctx context.Context, committed *result.Result[*solver.Remote]) string {
	var lines strings.Builder
	_ = committed.EachRef(func(remote *solver.Remote) error {
		for _, layer := range remote.Descriptors {
			// A layer that isn't here has not been looked at.
			info, err := ic.opt.ContentStore.Info(ctx, layer.Digest)
			if diffID := info.Labels[labels.LabelUncompressed]; err == nil && diffID != "" {
				fmt.Fprintf(&lines, "%s %s\n", layer.Digest, diffID)
			}
		}
		return nil
	})
	return lines.String()
}
`,
		},
		{
			File: "exporter/containerimage/export.go",
			Old: `	resp := make(map[string]string)
`,
			New: `	resp := map[string]string{ProvenLayersKey: e.opt.ImageWriter.ProvenLayers(ctx, committedRemotes)}
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
			New: `	resp := map[string]string{containerimage.ProvenLayersKey: e.opt.ImageWriter.ProvenLayers(ctx, committed)}
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
			Old: `	if res, ok, err := bc.HandleSubrequest(`,
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
