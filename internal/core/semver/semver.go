// Package semver compares semantic versions as flagd's sem_ver operator does.
package semver

// Version is a semantic version. The zero value is 0.0.0.
type Version struct {
	Major, Minor, Patch uint64
	Pre                 string
}
