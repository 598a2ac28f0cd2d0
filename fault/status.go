package fault

// statusOf maps gRPC codes to HTTP statuses as google/rpc/code.proto does.
var statusOf = map[string]int{
	"CANCELLED":           499,
	"UNKNOWN":             500,
	"INVALID_ARGUMENT":    400,
	"DEADLINE_EXCEEDED":   504,
	"NOT_FOUND":           404,
	"ALREADY_EXISTS":      409,
	"PERMISSION_DENIED":   403,
	"RESOURCE_EXHAUSTED":  429,
	"FAILED_PRECONDITION": 400,
	"ABORTED":             409,
	"OUT_OF_RANGE":        400,
	"UNIMPLEMENTED":       501,
	"INTERNAL":            500,
	"UNAVAILABLE":         503,
	"DATA_LOSS":           500,
	"UNAUTHENTICATED":     401,
}

// codeOf gives the code that best says what an HTTP status says.
func codeOf(status int) string {
	switch status {
	case 400:
		return "INVALID_ARGUMENT"
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 500:
		return "INTERNAL"
	case 501:
		return "UNIMPLEMENTED"
	case 504:
		return "DEADLINE_EXCEEDED"
	case 502, 503:
		return "UNAVAILABLE"
	default:
		return "UNKNOWN"
	}
}

// reply completes the status and the code of an error fault.
func reply(status int, code string) (int, string) {
	known := statusOf[code] != 0
	switch {
	case status >= 400 && status <= 599 && known:
		return status, code
	case status >= 400 && status <= 599:
		return status, codeOf(status)
	case known:
		return statusOf[code], code
	default:
		return 503, "UNAVAILABLE"
	}
}
