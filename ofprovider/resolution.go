package ofprovider

import (
	"fmt"
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

// flagSet is the metadata of flags without any of their own; nearly all have this.
type flagSet struct {
	id       string
	metadata of.FlagMetadata
}

// flagMetadata gives a flag's metadata. The SDK copies it, so that one map serves for many
// evaluations; nobody else must write to it.
func (p *Provider) flagMetadata(m *seatrial.Metadata) of.FlagMetadata {
	if m.FlagVersion != "" {
		return of.FlagMetadata{metadataFlagSet: m.FlagSetID, metadataVersion: m.FlagVersion}
	}
	if m.FlagSetID == "" {
		return nil
	}
	known := p.metadata.Load()
	if known == nil || known.id != m.FlagSetID {
		known = &flagSet{m.FlagSetID, of.FlagMetadata{metadataFlagSet: m.FlagSetID}}
		p.metadata.Store(known)
	}
	return known.metadata
}

// eventMetadata gives the metadata of an event: the flag set and its revision.
func eventMetadata(s *seatrial.Status) map[string]any {
	if s.Environment == "" {
		return map[string]any{}
	}
	return map[string]any{metadataFlagSet: s.Environment, metadataVersion: strconv.FormatInt(s.Revision, 10)}
}
