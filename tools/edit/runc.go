package main

// ofRunc is what runc is built with.
var ofRunc = map[string][]Edit{
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
	// Help without templates, for the reason in buildkit.go.
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
}
