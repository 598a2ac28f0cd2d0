package fault

import "strings"

// deniedWords are words of operations and points that are never hit: health checks and logins.
var deniedWords = []string{
	"health", "healthz", "healthcheck", "livez", "readyz", "liveness", "readiness",
	"auth", "authn", "authz", "authenticate", "authentication", "authorize", "authorization",
	"oauth", "oauth2", "oidc", "saml", "sso", "jwks", "login", "logout", "signin", "token", "tokens",
}

// deniedPatterns are operations that are never hit: telemetry, the control plane, and what keeps
// gRPC going.
var deniedPatterns = []string{
	"/live", "/ready", "/ping", "/metrics",
	"/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles", "/opentelemetry.proto.collector.*",
	"/api/v1/stream", "/api/v1/snapshot", "/api/v1/parts/*", "/ofrep/*", "/flagd.*",
	"/grpc.health.*", "/grpc.reflection.*", "/grpc.channelz.*",
}

// moneyWords begin the words that tell of money.
var moneyWords = []string{"pay", "charg", "bill", "refund", "transfer"}

// denied tells whether no fault may ever hit the operation, or calls at the point of that name.
func denied(name string, more []string) bool {
	return name != "" && (anyWord(name, isDeniedWord) || matchesAny(deniedPatterns, name) || matchesAny(more, name))
}

func isDeniedWord(word string) bool {
	for _, d := range deniedWords {
		if strings.EqualFold(word, d) {
			return true
		}
	}
	return false
}

// ofMoney tells whether a name tells of money.
func ofMoney(name string) bool {
	return anyWord(name, func(word string) bool {
		for _, m := range moneyWords {
			if len(word) >= len(m) && strings.EqualFold(word[:len(m)], m) {
				return true
			}
		}
		return false
	})
}

// anyWord tells whether is holds for a word of the name. Words are runs of ASCII letters and digits,
// and begin anew where a capital follows a small letter or a digit: "/v2/userLogin" has v2, user and Login.
func anyWord(name string, is func(string) bool) bool {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && isWordByte(name[i]) && !(i > start && isUpper(name[i]) && !isUpper(name[i-1])) {
			continue
		}
		if i > start && is(name[start:i]) {
			return true
		}
		start = i
		if i < len(name) && !isWordByte(name[i]) {
			start = i + 1
		}
	}
	return false
}

func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }

func isWordByte(b byte) bool { return isUpper(b) || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// matches tells whether the whole name is as the pattern says, where * stands for any run of bytes.
// ASCII case does not matter. On a mismatch it goes back to the last star only, which is enough.
func matches(pattern, name string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func lower(b byte) byte {
	if isUpper(b) {
		return b + 'a' - 'A'
	}
	return b
}
