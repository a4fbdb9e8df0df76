package main

// ofBuildKit is what both buildkitd and buildctl are built with.
var ofBuildKit = map[string][]Edit{
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
}
