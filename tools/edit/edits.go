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
}
