package main

// ofBuildctl is what buildctl is built with, besides ofBuildKit.
var ofBuildctl = map[string][]Edit{
	"github.com/moby/buildkit": {
		// The resource has to know the versions of buildctl and of its daemon, and reads them in the progress of a build
		// (src/builder/solve/stated-versions.ts). Two more processes beside the build would take 45 ms of processor time.
		{
			File: "cmd/buildctl/build.go",
			Old: `	c, err := bccommon.ResolveClient(clicontext)
	if err != nil {
		return err
	}

	traceFile, err`,
			New: `	c, err := bccommon.ResolveClient(clicontext)
	if err != nil {
		return err
	}
	if clicontext.String("progress") == "rawjson" {
		go func() {
			if info, err := c.Info(bccommon.CommandContext(clicontext)); err == nil {
				json.NewEncoder(os.Stderr).Encode(map[string]string{
					"buildctl":  version.Version,
					"buildkitd": info.BuildkitVersion.Version,
				})
			}
		}()
	}

	traceFile, err`,
		},
		{
			File: "cmd/buildctl/build.go",
			Old: `	"github.com/moby/buildkit/util/progress/progresswriter"
`,
			New: `	"github.com/moby/buildkit/util/progress/progresswriter"
	"github.com/moby/buildkit/version"
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
}
