package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/definition"
)

// definitionFiles are the names by which files in a folder are taken for definitions.
var definitionFiles = []string{".json", ".yaml", ".yml"}

// maxDefinitionFiles bounds what a folder is searched for.
const maxDefinitionFiles = 10_000

// readBundle reads definition files: each path is a file, "-" for standard input, or a folder that
// is searched with all below it, but for names that begin with a dot. All that is wrong with any
// file is reported at once, as definition.Faults.
func (a *app) readBundle(paths []string) (*definition.Bundle, error) {
	return a.readInto(&definition.Bundle{}, paths)
}

func (a *app) readInto(bundle *definition.Bundle, paths []string) (*definition.Bundle, error) {
	faults := definition.Faults{}
	for _, path := range paths {
		files, err := filesBelow(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := a.readInput(file, definition.MaxFile)
			if err != nil {
				return nil, err
			}
			var wrong definition.Faults
			if err := bundle.Add(shownPath(file), data); errors.As(err, &wrong) {
				faults = append(faults, wrong...)
			} else if err != nil {
				return nil, err
			}
		}
	}
	if len(faults) > 0 {
		return bundle, faults
	}
	return bundle, nil
}

func filesBelow(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if path == "-" || err == nil && !info.IsDir() {
		return []string{path}, nil
	}
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return filepath.SkipDir
			}
		case !entry.IsDir() && slices.Contains(definitionFiles, strings.ToLower(filepath.Ext(name))):
			files = append(files, name)
		}
		if len(files) > maxDefinitionFiles {
			return fmt.Errorf("%s holds more than %d files: name a smaller folder", path, maxDefinitionFiles)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no file that ends in %s", path, either(slices.Values(definitionFiles)))
	}
	return files, err
}
