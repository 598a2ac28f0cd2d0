package flagd

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"
)

// selectorHeader says which flags a client wants; it comes before what a message says.
const selectorHeader = "Flagd-Selector"

// environmentOf reads a selector: flagSetId=NAME is the environment NAME, and so is source=NAME, or
// NAME alone, since an environment is the only source there is. Empty, or flagSetId= for flags
// without a set, is the default of who asks.
func environmentOf(selector string) (string, error) {
	key, value, keyed := strings.Cut(strings.TrimSpace(selector), "=")
	if !keyed {
		return key, nil
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if key != "flagSetId" && key != "source" {
		return "", connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("selector %.100q: %.50q is not known: write flagSetId= and the name of an environment", selector, key))
	}
	if strings.ContainsAny(value, ",=") {
		return "", connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("selector %.100q: name one environment only", selector))
	}
	return value, nil
}
