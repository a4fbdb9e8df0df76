package main

// ofRunsc is what runsc is built with.
var ofRunsc = map[string][]Edit{
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
		// This reads and writes the worker's files, sockets and pipes, if the bytes are in several places of the sandbox's
		// memory. Without flags the calls do what those without the 2 do. These don't know the offset -1, for what has none
		// or for the file's own, for which there are others, that take no offset and leave the arguments after it alone.
		{
			File: "pkg/sentry/hostfd/hostfd_unsafe.go",
			Old: `	var total uintptr
	for start := 0;`,
			New: `	if flags == 0 {
		switch {
		case sysno == unix.SYS_PREADV2 && offset >= 0:
			sysno = unix.SYS_PREADV
		case sysno == unix.SYS_PREADV2:
			sysno = unix.SYS_READV
		case sysno == unix.SYS_PWRITEV2 && offset >= 0:
			sysno = unix.SYS_PWRITEV
		case sysno == unix.SYS_PWRITEV2:
			sysno = unix.SYS_WRITEV
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
}
