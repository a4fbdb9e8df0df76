// Command runsc is gVisor's runtime, cut down to what a step without privileges needs: a sandbox in which buildkitd
// runs. It leaves out gVisor's other commands and the helpers that are embedded for them, which makes it a third as
// large. It builds only against a copy of gVisor with the edits of ../edit.
package main

import (
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/specutils"
)

func main() {
	// A container without privileges makes no namespaces; that container is the boundary.
	specutils.WithoutNamespaces = true
	const own, internal = "", "internal use only"
	cli.Run(nil, map[util.SubCommand]string{
		new(cmd.Run):          own,
		new(cmd.Delete):       own,
		new(cmd.Kill):         own,
		new(sentrycmd.Boot):   internal,
		new(sentrycmd.Umount): internal,
		new(cmd.Gofer):        internal,
	}, nil)
}
