package main

// edits says, by module, what is changed before its programs are built.
var edits = map[string][]Edit{
	// Without privileges runsc can make no namespaces and mount nothing. Everything else works there.
	"gvisor.dev/gvisor": {
		{
			File: "runsc/specutils/namespace.go",
			Old:  "func StartInNS(cmd *exec.Cmd, nss []specs.LinuxNamespace) error {\n",
			New: `var WithoutNamespaces bool

func StartInNS(cmd *exec.Cmd, nss []specs.LinuxNamespace) error {
	if WithoutNamespaces {
		return cmd.Start()
	}
`,
		},
		// What it mounts is served to the sandbox by the gofer, which finds it at its own place.
		{
			File: "runsc/cmd/gofer.go",
			Old:  "\tif g.setUpRoot {\n",
			New:  "\tif g.setUpRoot && !conf.TestOnlyAllowRunAsCurrentUserWithoutChroot {\n",
		},
		// Concourse's guardian runtime forbids openat2(2), preadv2(2) and pwritev2(2). This is the file behind BuildKit's
		// state folder. Its name has a single part, which isn't followed as a link here either.
		{
			File: "runsc/container/container.go",
			Old: `		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
`,
			New: `		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err == unix.ENOSYS || err == unix.EPERM {
		filestoreFD, err = unix.Openat(dirFD, fileName, createFlags, 0666)
	}
`,
		},
		// This reads and writes the worker's files, if the bytes are in several places of the sandbox's memory. Without
		// flags the calls do what those without the 2 do, which don't know the offset -1 for the file's own.
		{
			File: "pkg/sentry/hostfd/hostfd_unsafe.go",
			Old: `	var total uintptr
	for start := 0;`,
			New: `	if flags == 0 && offset >= 0 {
		switch sysno {
		case unix.SYS_PREADV2:
			sysno = unix.SYS_PREADV
		case unix.SYS_PWRITEV2:
			sysno = unix.SYS_PWRITEV
		}
	}
	var total uintptr
	for start := 0;`,
		},
	},
	// runc joins the new container's mount namespace in case a source can't be opened from there, as with ids that are
	// mapped anew, which BuildKit never asks for. Where setns(2) isn't allowed, it can do without.
	"github.com/opencontainers/runc": {
		{
			File: "libcontainer/process_linux.go",
			Old: `		if err != nil {
			return fmt.Errorf("error spawning mount remapping thread: %w", err)
		}
		defer cancel()
		mountRequest = request
`,
			New: `		if err == nil {
			defer cancel()
			mountRequest = request
		} else if !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("error spawning mount remapping thread: %w", err)
		}
`,
		},
	},
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
