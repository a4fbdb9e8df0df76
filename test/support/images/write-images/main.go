// Writes the image of an OCI layout anew, as the libraries of other tools do:
//
//	flat LAYOUT FOLDER    go-containerregistry's layout.Write of an index (ko, the registry-image resource)
//	export LAYOUT FILE    containerd's archive.Export of what there is of an index (ctr image export, docker save since 29)
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "expected flat or export, a layout, and what to write")
		os.Exit(2)
	}
	write := map[string]func(from, to string) error{"flat": flat, "export": export}[os.Args[1]]
	if err := write(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func flat(from, to string) error {
	all, err := layout.ImageIndexFromPath(from)
	if err != nil {
		return err
	}
	list, err := all.IndexManifest()
	if err != nil {
		return err
	}
	index, err := all.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		return err
	}
	_, err = layout.Write(to, index)
	return err
}

func export(from, to string) error {
	store, err := local.NewStore(from)
	if err != nil {
		return err
	}
	bytes, err := os.ReadFile(filepath.Join(from, "index.json"))
	if err != nil {
		return err
	}
	var list ocispec.Index
	if err := json.Unmarshal(bytes, &list); err != nil {
		return err
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer file.Close()
	return archive.Export(context.Background(), store, file,
		archive.WithManifest(list.Manifests[0], "docker.io/library/base:1"), archive.WithSkipMissing(store))
}
