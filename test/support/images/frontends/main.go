// Frontends for BuildKit, as images have them that a "# syntax=" line names:
//
//	dockerfile    BuildKit's own for Dockerfiles, without our edits
//	steps         one for files of a base and steps, which look nothing like a Dockerfile:
//
//	              base: busybox
//	              step: /mounted make all
//
// A step is a shell command, with a cache mount at the path before it. It sees build args as variables.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

func main() {
	build := map[string]client.BuildFunc{"dockerfile": dockerfile.Build, "steps": buildSteps}[os.Args[1]]
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		panic(err)
	}
}

func buildSteps(ctx context.Context, c client.Client) (*client.Result, error) {
	text, err := readText(ctx, c)
	if err != nil {
		return nil, err
	}
	state := llb.Scratch()
	var args []llb.RunOption
	for name, value := range c.BuildOpts().Opts {
		if arg, isArg := strings.CutPrefix(name, "build-arg:"); isArg {
			args = append(args, llb.AddEnv(arg, value))
		}
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case strings.HasPrefix(name, "#"):
		case name == "base":
			state = llb.Image(rest)
		case name == "step":
			mount, command, _ := strings.Cut(rest, " ")
			cache := llb.AddMount(mount, llb.Scratch(), llb.AsPersistentCacheDir(mount, llb.CacheMountShared))
			run := append([]llb.RunOption{llb.Args([]string{"/bin/sh", "-c", command}), cache}, args...)
			state = state.Run(run...).Root()
		default:
			return nil, fmt.Errorf("not a step: %s", lines.Text())
		}
	}
	return solve(ctx, c, state)
}

func readText(ctx context.Context, c client.Client) ([]byte, error) {
	opts := c.BuildOpts()
	name := opts.Opts["filename"]
	if name == "" {
		name = "Dockerfile"
	}
	local := llb.Local("dockerfile", llb.FollowPaths([]string{name}), llb.SessionID(opts.SessionID))
	found, err := solve(ctx, c, local)
	if err != nil {
		return nil, err
	}
	ref, err := found.SingleRef()
	if err != nil {
		return nil, err
	}
	return ref.ReadFile(ctx, client.ReadRequest{Filename: name})
}

func solve(ctx context.Context, c client.Client, state llb.State) (*client.Result, error) {
	definition, err := state.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{Definition: definition.ToPB(), Evaluate: true})
}
