// Command edit prepares the build of programs whose source needs small changes, which the files of this folder have by
// program. For every module to edit that the go.mod in MODULE asks for, it copies the pinned source into FOLDER, makes
// the edits there, and writes a go.mod beside the copies in which they replace the modules:
//
//	go run ./edit MODULE FOLDER && go build -C MODULE -modfile=FOLDER/go.mod ...
//
// Every edit names a text that its file has to hold exactly once. When it doesn't, because a newer version changed that
// place, no go.mod is written and the program ends with status 1.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Edit is a change to one file of a module.
type Edit struct {
	// File is relative to the module's root.
	File string
	// Old is in the file exactly once; New takes its place.
	Old, New string
}

// editsOf answers the edits of a module, which may be for several programs.
func editsOf(module string) []Edit {
	var found []Edit
	for _, program := range []map[string][]Edit{ofRunsc, ofRunc, ofBuildkitd, ofUnpacking, ofBuildctl, ofBuildKit} {
		found = append(found, program[module]...)
	}
	return found
}

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("usage: edit MODULE FOLDER"))
	}
	folder, err := filepath.Abs(os.Args[2])
	if err != nil {
		fail(err)
	}
	if err := os.Chdir(os.Args[1]); err != nil {
		fail(err)
	}
	if err := prepare(folder); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "edit:", err)
	os.Exit(1)
}

// prepare fills folder for the module in the working directory; what was there of an earlier run is replaced.
func prepare(folder string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	required, err := requirements()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var replaced []string
	for _, module := range required {
		changes := editsOf(module)
		if len(changes) == 0 {
			continue
		}
		source, err := download(module)
		if err != nil {
			return err
		}
		copied := filepath.Join(folder, filepath.FromSlash(module))
		if err := copyTree(source, copied); err != nil {
			return err
		}
		for _, edit := range changes {
			if err := apply(copied, edit); err != nil {
				return fmt.Errorf("%s: %w", module, err)
			}
		}
		// Programs keep this path: it must not depend on where they are built.
		relative, err := filepath.Rel(here, copied)
		if err != nil {
			return err
		}
		replaced = append(replaced, "-replace="+module+"=./"+filepath.ToSlash(relative))
	}
	if len(replaced) == 0 {
		return errors.New("go.mod asks for none of the modules that tools/edit changes")
	}
	return writeModule(folder, replaced)
}

// requirements answers the paths of the modules that go.mod asks for.
func requirements() ([]string, error) {
	out, err := goCommand("mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var file struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &file); err != nil {
		return nil, err
	}
	var paths []string
	for _, required := range file.Require {
		paths = append(paths, required.Path)
	}
	return paths, nil
}

// download brings a module at its pinned version into Go's cache and answers its folder there.
func download(module string) (string, error) {
	out, failed := goCommand("mod", "download", "-json", module)
	var found struct{ Dir, Error string }
	if err := json.Unmarshal(out, &found); err != nil {
		return "", errors.Join(failed, err)
	}
	if found.Error != "" {
		return "", errors.New(found.Error)
	}
	return found.Dir, failed
}

// copyTree copies files and folders. Go's cache holds no other kinds, and nothing in it may be written to.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

func apply(root string, edit Edit) error {
	file := filepath.Join(root, filepath.FromSlash(edit.File))
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if found := strings.Count(string(content), edit.Old); found != 1 {
		return fmt.Errorf("%s holds %d times, instead of once: %q. Read what changed there, and change the edit in tools/edit",
			edit.File, found, edit.Old)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(content), edit.Old, edit.New, 1)), 0o644)
}

// writeModule writes go.mod and go.sum: those of this module, with the replacements.
func writeModule(folder string, replaced []string) error {
	for _, name := range []string{"go.sum", "go.mod"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	_, err := goCommand(append(append([]string{"mod", "edit"}, replaced...), filepath.Join(folder, "go.mod"))...)
	return err
}

func goCommand(arguments ...string) ([]byte, error) {
	command := exec.Command("go", arguments...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("go %s: %w", strings.Join(arguments, " "), err)
	}
	return out, nil
}
