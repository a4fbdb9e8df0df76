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
	"github.com/containerd/containerd/v2": {
		// What igzip or unpigz writes is read from its pipe, which is as large as a user without privileges may make it.
		// Through a pipe of 64 KB and a second one between goroutines, both programs wait for each other much of the time.
		{
			File: "pkg/archive/compression/compression.go",
			Old: `	reader, writer := io.Pipe()

	cmd.Stdin = in
	cmd.Stdout = writer

	var errBuf bytes.Buffer
	cmd.Stderr = &errBuf

	if err := cmd.Start(); err != nil {
		return nil, err
	}

	go func() {
		if err := cmd.Wait(); err != nil {
			writer.CloseWithError(fmt.Errorf("%s: %s", err, errBuf.String()))
		} else {
			writer.Close()
		}
	}()

	return reader, nil
}
`,
			New: `	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if pipe, err := writer.SyscallConn(); err == nil {
		// Where it isn't allowed, the pipe stays as it is.
		_ = pipe.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}

	cmd.Stdin = in
	cmd.Stdout = writer

	var errBuf bytes.Buffer
	cmd.Stderr = &errBuf

	err = cmd.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, err
	}

	return &cmdReader{File: reader, wait: sync.OnceValue(func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %s", err, errBuf.String())
		}
		return nil
	})}, nil
}

// cmdReader reads what a command writes. At its end it is the command's status that counts.
type cmdReader struct {
	*os.File
	wait func() error
}

func (r *cmdReader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if err == io.EOF {
		if failure := r.wait(); failure != nil {
			err = failure
		}
	}
	return n, err
}

// Close ends the command, which can write no more.
func (r *cmdReader) Close() error {
	err := r.File.Close()
	go r.wait()
	return err
}
`,
		},
		{
			File: "pkg/archive/compression/compression.go",
			Old: `	"github.com/klauspost/compress/zstd"
)
`,
			New: `	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)
`,
		},
		// A layer is read and its diff ID is computed while what came before is written.
		{
			File: "core/diff/apply/apply.go",
			Old: `	rc := &readCounter{
		r: io.TeeReader(processor, digester.Hash()),
	}
`,
			New: `	ahead := readahead.NewReader(io.TeeReader(processor, digester.Hash()))
	defer ahead.Close()
	rc := &readCounter{
		r: ahead,
	}
`,
		},
		{
			File: "core/diff/apply/apply.go",
			Old: `	digest "github.com/opencontainers/go-digest"
`,
			New: `	"github.com/klauspost/readahead"
	digest "github.com/opencontainers/go-digest"
`,
		},
	},
}
