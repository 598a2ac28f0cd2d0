package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildInfo is what version prints.
type buildInfo struct {
	Version  string `json:"version"`            // of the module; "(devel)" when built from a work tree
	Revision string `json:"revision,omitempty"` // of version control
	Time     string `json:"time,omitempty"`     // of that revision
	Modified bool   `json:"modified"`           // the work tree had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = orElse(info.Main.Version, "(devel)")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", GroupID: groupLook, Short: "Show the version of this binary",
		Example: "  seatrial version\n  seatrial version -o json",
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		return a.printDetails(versionDetails(readBuildInfo()))
	}
	return cmd
}

func versionDetails(b buildInfo) details {
	revision := text("%s", b.Revision)
	if b.Modified {
		revision.shown = b.Revision + " with changes"
	}
	return details{json: b, rows: []detail{
		{"seatrial", text("%s", b.Version)}, {"revision", revision}, {"time", text("%s", b.Time)},
		{"go", text("%s", b.Go)}, {"platform", text("%s", b.Platform)},
	}}
}
