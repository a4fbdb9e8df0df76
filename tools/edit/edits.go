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
		// The cached results depend only on the filters and on the architecture, and the parent's are copied just before. To
		// compute them again means running every filter 2,001 times, which takes as long as the rest of fork and exec.
		{
			File: "pkg/sentry/kernel/task_clone.go",
			Old: `		seccompCopy.populateCache(nt)
`,
			New: `		if seccompCopy.cacheAuditNumber != nt.image.st.AuditNumber {
			seccompCopy.populateCache(nt)
		}
`,
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
		// These pages show what google.golang.org/grpc records, which it doesn't with the tag grpcnotrace, and their
		// templates would keep buildkitd large: see the help of urfave/cli below.
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
		{
			File: "cmd/buildctl/common/common.go",
			Old: `func ParseTemplate(format string) (*template.Template, error) {
`,
			New: `// JSON writes values as the template {{json .}} does.
type JSON struct{}

func (JSON) Execute(w io.Writer, v any) error {
	buf := &bytes.Buffer{}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSpace(buf.Bytes()))
	return err
}

func ParseTemplate(format string) (JSON, error) {
`,
		},
		{
			File: "cmd/buildctl/common/common.go",
			Old: `	// funcs is from https://github.com/docker/cli/blob/v20.10.12/templates/templates.go#L12-L20 (Apache License 2.0)
	funcs := template.FuncMap{
		"json": func(v any) string {
			buf := &bytes.Buffer{}
			enc := json.NewEncoder(buf)
			enc.SetEscapeHTML(false)
			enc.Encode(v)
			// Remove the trailing new line added by the encoder
			return strings.TrimSpace(buf.String())
		},
	}
	return template.New("").Funcs(funcs).Parse(format)
}
`,
			New: `	if format != "{{json .}}" {
		return JSON{}, errors.Errorf("the only format that this buildctl knows is {{json .}}, not %s", format)
	}
	return JSON{}, nil
}
`,
		},
		{
			File: "cmd/buildctl/common/common.go",
			Old: `	"strings"
	"text/template"
`,
			New: `	"io"
`,
		},
	},
	// A program that fills in templates may call any method by its name, so Go's linker keeps every public method of what
	// it uses: of the whole client of S3, for example. The programs do so for --help, and buildctl for --format. Without
	// templates buildkitd and buildctl are a quarter smaller.
	"github.com/urfave/cli/v3": {
		{
			File: "help.go",
			Old: `var HelpPrinterCustom HelpPrinterCustomFunc = DefaultPrintHelpCustom
`,
			New: `var HelpPrinterCustom HelpPrinterCustomFunc = func(out io.Writer, _ string, data any, _ map[string]any) {
	cmd, ok := data.(*Command)
	if !ok {
		return
	}
	fmt.Fprintf(out, "%s - %s\n", cmd.FullName(), cmd.Usage)
	for _, command := range cmd.VisibleCommands() {
		fmt.Fprintf(out, "   %s\t%s\n", command.Name, command.Usage)
	}
	for _, flag := range cmd.VisibleFlags() {
		fmt.Fprintf(out, "   %s\n", flag)
	}
}
`,
		},
	},
	// The same for runc.
	"github.com/urfave/cli": {
		{
			File: "help.go",
			Old: `var HelpPrinterCustom helpPrinterCustom = printHelpCustom
`,
			New: `var HelpPrinterCustom helpPrinterCustom = func(out io.Writer, _ string, data interface{}, _ map[string]interface{}) {
	if app, ok := data.(*App); ok {
		for _, command := range app.VisibleCommands() {
			fmt.Fprintf(out, "   %s\t%s\n", command.Name, command.Usage)
		}
	}
	if has, ok := data.(interface{ VisibleFlags() []Flag }); ok {
		for _, flag := range has.VisibleFlags() {
			fmt.Fprintf(out, "   %s\n", flag)
		}
	}
}
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
