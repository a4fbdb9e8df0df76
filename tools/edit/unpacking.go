package main

// ofUnpacking is what buildkitd is built with so that it unpacks layers faster.
var ofUnpacking = map[string][]Edit{
	"github.com/containerd/containerd/v2": {
		// igzip or unpigz reads and writes pipes that are as large as a user without privileges may make them, and what it
		// writes is read from its pipe. With pipes of 64 KB, and a further one between goroutines, both programs wait for each
		// other much of the time: igzip reads and writes a MB at a time.
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
			New: `	stdin, feed, err := largePipe()
	if err != nil {
		return nil, err
	}
	reader, stdout, err := largePipe()
	if err != nil {
		stdin.Close()
		feed.Close()
		return nil, err
	}

	cmd.Stdin = stdin
	cmd.Stdout = stdout

	var errBuf bytes.Buffer
	cmd.Stderr = &errBuf

	err = cmd.Start()
	stdin.Close()
	stdout.Close()
	if err != nil {
		feed.Close()
		reader.Close()
		return nil, err
	}

	fed := make(chan error, 1)
	go func() {
		_, err := io.Copy(feed, in)
		feed.Close()
		if errors.Is(err, unix.EPIPE) {
			// The command has ended before. Its status says whether that is a failure.
			err = nil
		}
		fed <- err
	}()

	return &cmdReader{File: reader, wait: sync.OnceValue(func() error {
		// in is read by nobody when this returns.
		failure := cmd.Wait()
		unread := <-fed
		if failure != nil {
			return fmt.Errorf("%s: %s", failure, errBuf.String())
		}
		return unread
	})}, nil
}

// largePipe answers both ends of a pipe.
func largePipe() (*os.File, *os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if pipe, err := writer.SyscallConn(); err == nil {
		// Where it isn't allowed, the pipe stays as it is.
		_ = pipe.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
	return reader, writer, nil
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
			Old: `	"encoding/binary"
`,
			New: `	"encoding/binary"
	"errors"
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
		// Small files are written while the archive is read on: writing them takes longer than reading them. What may concern a
		// file that is being written waits until it is written, so the result is the same: a name that comes again, a hard link,
		// a whiteout, and what replaces something. Folders and symbolic links with new names don't concern it, as a file's
		// folders are there before it is written.
		//
		// And the folder of an entry isn't looked up part by part for each of its entries. What was found stays true until
		// something is removed: all parts were there.
		{
			File: "pkg/archive/tar.go",
			Old: `		opaqueDirs = make(map[string]struct{})

		convertWhiteout = options.ConvertWhiteout
	)
`,
			New: `		opaqueDirs = make(map[string]struct{})
		// The folders that the archive's names of folders lead to
		resolved = make(map[string]string)
		writers  = newFileWriters()

		convertWhiteout = options.ConvertWhiteout
	)
	defer writers.wait()
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `		ppath, base := filepath.Split(hdr.Name)
		ppath, err = fs.RootPath(root, ppath)
		if err != nil {
			return 0, fmt.Errorf("failed to get root path: %w", err)
		}
`,
			New: `		folder, base := filepath.Split(hdr.Name)
		ppath, isResolved := resolved[folder]
		if !isResolved {
			ppath, err = fs.RootPath(root, folder)
			if err != nil {
				return 0, fmt.Errorf("failed to get root path: %w", err)
			}
		}
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `		if ppath != root {
			parentPath := ppath
`,
			New: `		if ppath != root && !isResolved {
			parentPath := ppath
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `		// Naive whiteout convert function which handles whiteout files by
		// removing the target files.
		if err := validateWhiteout(path); err != nil {
`,
			New: `		resolved[folder] = ppath
		isWhiteout := strings.HasPrefix(base, whiteoutPrefix)
		if _, repeated := unpackedPaths[path]; repeated || isWhiteout || hdr.Typeflag == tar.TypeLink {
			if err := writers.wait(); err != nil {
				return 0, err
			}
		}
		if isWhiteout {
			clear(resolved)
		}

		// Naive whiteout convert function which handles whiteout files by
		// removing the target files.
		if err := validateWhiteout(path); err != nil {
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `			if !fi.IsDir() || hdr.Typeflag != tar.TypeDir {
				if err := os.RemoveAll(path); err != nil {
					return 0, err
				}
			}
		}

		srcData := io.Reader(tr)
		srcHdr := hdr

		if err := createTarFile(ctx, path, root, srcHdr, srcData, options.NoSameOwner); err != nil {
			return 0, err
		}
`,
			New: `			if !fi.IsDir() || hdr.Typeflag != tar.TypeDir {
				if err := writers.wait(); err != nil {
					return 0, err
				}
				clear(resolved)
				if err := os.RemoveAll(path); err != nil {
					return 0, err
				}
			}
		}

		write := func(content io.Reader) error {
			return createTarFile(ctx, path, root, hdr, content, options.NoSameOwner)
		}
		if hdr.Typeflag == tar.TypeReg && hdr.Size <= smallFile {
			err = writers.write(tr, int(hdr.Size), write)
		} else {
			err = write(tr)
		}
		if err != nil {
			return 0, err
		}
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `		unpackedPaths[path] = struct{}{}
	}

	for _, hdr := range dirs {
`,
			New: `		unpackedPaths[path] = struct{}{}
	}

	if err := writers.wait(); err != nil {
		return 0, err
	}
	for _, hdr := range dirs {
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old:  `func createTarFile(`,
			New: `// smallFile is how many bytes a file has at most that is written while the archive is read on.
const smallFile = 256 << 10

// fileWriters write small files, each in a goroutine of its own.
type fileWriters struct {
	// The buffers of those that write nothing now. One that was never used is nil.
	idle chan []byte
	busy sync.WaitGroup
	// The first failure
	failure atomic.Pointer[error]
}

func newFileWriters() *fileWriters {
	const most = 4
	w := &fileWriters{idle: make(chan []byte, most)}
	for range most {
		w.idle <- nil
	}
	return w
}

// write reads a file of size bytes, and lets write write it. A failure of that is what a later call returns.
func (w *fileWriters) write(content io.Reader, size int, write func(io.Reader) error) error {
	buffer := <-w.idle
	if buffer == nil {
		buffer = make([]byte, smallFile)
	}
	_, err := io.ReadFull(content, buffer[:size])
	if failure := w.failure.Load(); failure != nil {
		err = *failure
	}
	if err != nil {
		w.idle <- buffer
		return err
	}
	w.busy.Go(func() {
		if err := write(bytes.NewReader(buffer[:size])); err != nil {
			w.failure.CompareAndSwap(nil, &err)
		}
		w.idle <- buffer
	})
	return nil
}

// wait returns when all files are written.
func (w *fileWriters) wait() error {
	w.busy.Wait()
	if failure := w.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

func createTarFile(`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `	"archive/tar"
	"context"
`,
			New: `	"archive/tar"
	"bytes"
	"context"
`,
		},
		{
			File: "pkg/archive/tar.go",
			Old: `	"sync"
	"syscall"
`,
			New: `	"sync"
	"sync/atomic"
	"syscall"
`,
		},
	},
}
