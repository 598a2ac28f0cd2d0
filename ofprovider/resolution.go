package ofprovider

import (
	"fmt"
	"maps"
	"strconv"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
)

// The keys of metadata that OpenFeature gives a meaning (specification, appendix D).
const (
	metadataFlagSet = "flagSetId"
	metadataVersion = "version"
)

// resolutionError gives the SDK's form of an error code, with what to do about it; the zero error
// for none.
func resolutionError(key string, code seatrial.ErrorCode, m *seatrial.Metadata) of.ResolutionError {
	switch code {
	case "":
		return of.ResolutionError{}
	case seatrial.ErrorFlagNotFound:
		return of.NewFlagNotFoundResolutionError(fmt.Sprintf("flag %q: there is none at revision %d of %q: create it or correct the key", key, m.Revision, m.FlagSetID))
	case seatrial.ErrorTypeMismatch:
		return of.NewTypeMismatchResolutionError(fmt.Sprintf("flag %q: its value is of another type: ask for the type of the flag", key))
	case seatrial.ErrorProviderNotReady:
		return of.NewProviderNotReadyResolutionError("there is no snapshot of the flags yet")
	case seatrial.ErrorTargetingKeyMissing:
		return of.NewTargetingKeyMissingResolutionError(fmt.Sprintf("flag %q: give a targeting key in the evaluation context", key))
	case "PARSE_ERROR":
		return of.NewParseErrorResolutionError(fmt.Sprintf("flag %q: its definition cannot be evaluated: correct it", key))
	case "INVALID_CONTEXT":
		return of.NewInvalidContextResolutionError(fmt.Sprintf("flag %q: the evaluation context does not meet its rules", key))
	}
	return of.NewGeneralResolutionError(fmt.Sprintf("flag %q: %s", key, code))
}

// maxVersions bounds the metadata that is kept. More trials at once are rare, and cost time only.
const maxVersions = 256

// flagSet is the metadata of one environment's flags, by the version of the trial that runs on the
// flag; empty: none. It does not change.
type flagSet struct {
	id       string
	versions map[string]of.FlagMetadata
}

// flagMetadata gives a flag's metadata. The SDK copies it, so that one map serves for many
// evaluations; nobody else must write to it.
func (p *Provider) flagMetadata(m *seatrial.Metadata) of.FlagMetadata {
	if m.FlagSetID == "" {
		return nil
	}
	if m.Definition != nil {
		return merged(m)
	}
	known := p.metadata.Load()
	if known != nil && known.id == m.FlagSetID {
		if metadata, ok := known.versions[m.FlagVersion]; ok {
			return metadata
		}
	}
	metadata := of.FlagMetadata{metadataFlagSet: m.FlagSetID}
	if m.FlagVersion != "" {
		metadata[metadataVersion] = m.FlagVersion
	}
	p.metadata.Store(known.with(m, metadata))
	return metadata
}

// merged gives the metadata of an imported definition, which wins, and of its flag set, as flagd does.
func merged(m *seatrial.Metadata) of.FlagMetadata {
	metadata := make(of.FlagMetadata, len(m.Definition)+1)
	metadata[metadataFlagSet] = m.FlagSetID
	maps.Copy(metadata, m.Definition)
	return metadata
}

// with gives the flag set with one more entry. Of two that are added at once one may be lost.
func (s *flagSet) with(m *seatrial.Metadata, metadata of.FlagMetadata) *flagSet {
	next := &flagSet{m.FlagSetID, map[string]of.FlagMetadata{m.FlagVersion: metadata}}
	if s != nil && s.id == m.FlagSetID && len(s.versions) < maxVersions {
		maps.Copy(next.versions, s.versions)
	}
	return next
}

// eventMetadata gives the metadata of an event: the flag set and its revision.
func eventMetadata(s *seatrial.Status) map[string]any {
	if s.Environment == "" {
		return map[string]any{}
	}
	return map[string]any{metadataFlagSet: s.Environment, metadataVersion: strconv.FormatInt(s.Revision, 10)}
}
