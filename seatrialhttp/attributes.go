package seatrialhttp

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Names of the semantic conventions, all stable.
const (
	attrMethod         = attribute.Key("http.request.method")
	attrMethodOriginal = attribute.Key("http.request.method_original")
	attrResend         = attribute.Key("http.request.resend_count")
	attrStatus         = attribute.Key("http.response.status_code")
	attrRoute          = attribute.Key("http.route")
	attrPath           = attribute.Key("url.path")
	attrScheme         = attribute.Key("url.scheme")
	attrURL            = attribute.Key("url.full")
	attrAddress        = attribute.Key("server.address")
	attrPort           = attribute.Key("server.port")
	attrProtocol       = attribute.Key("network.protocol.version")
	attrUserAgent      = attribute.Key("user_agent.original")
	attrErrorType      = attribute.Key("error.type")

	attrDependency = attribute.Key("seatrial.dependency") // our own name of what is called
)

// other stands for all methods that are not known: anybody can send any.
const other = "_OTHER"

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// room is for as many attributes as a span begins with.
const room = 8

// methodOf gives the attributes of a method, with room for more, and its part in the name of a span.
func methodOf(method string) (attrs []attribute.KeyValue, name string) {
	attrs = make([]attribute.KeyValue, 0, room)
	if method == "" {
		method = http.MethodGet
	}
	if slices.Contains(methods, method) {
		return append(attrs, attrMethod.String(method)), method
	}
	return append(attrs, attrMethod.String(other), attrMethodOriginal.String(method)), "HTTP"
}

// serverAttributes are those that a sampler may want to see.
func serverAttributes(r *http.Request) (attrs []attribute.KeyValue, name string) {
	attrs, name = methodOf(r.Method)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	attrs = append(attrs, attrPath.String(r.URL.Path), attrScheme.String(scheme))
	attrs = appendAddress(attrs, r.Host, scheme)
	if version := strings.TrimPrefix(r.Proto, "HTTP/"); version != r.Proto {
		attrs = append(attrs, attrProtocol.String(strings.TrimSuffix(version, ".0")))
	}
	if agent := r.UserAgent(); agent != "" {
		attrs = append(attrs, attrUserAgent.String(agent))
	}
	return attrs, name
}

func clientAttributes(r *http.Request, dependency string) (attrs []attribute.KeyValue, name string) {
	attrs, name = methodOf(r.Method)
	host := r.URL.Host
	if host == "" {
		host = r.Host
	}
	attrs = append(attrs, attrDependency.String(dependency), attrURL.String(withoutSecrets(r.URL)))
	return appendAddress(attrs, host, r.URL.Scheme), name
}

// withoutSecrets gives the URL without user, query and fragment.
func withoutSecrets(u *url.URL) string {
	open := url.URL{Scheme: u.Scheme, Opaque: u.Opaque, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return open.String()
}

// appendAddress adds the parts of "host:port"; without a port it is the scheme's.
func appendAddress(attrs []attribute.KeyValue, host, scheme string) []attribute.KeyValue {
	if host == "" {
		return attrs
	}
	name, port := host, ""
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') && (host[0] == '[' || strings.IndexByte(host, ':') == colon) {
		name, port = host[:colon], host[colon+1:]
	}
	if port == "" {
		port = "80"
		if scheme == "https" {
			port = "443"
		}
	}
	attrs = append(attrs, attrAddress.String(strings.Trim(name, "[]")))
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, attrPort.Int(n))
	}
	return attrs
}

// routeOf gives the path of a ServeMux pattern, "[METHOD ][HOST]/[PATH]".
func routeOf(pattern string) string {
	if slash := strings.IndexByte(pattern, '/'); slash >= 0 {
		return pattern[slash:]
	}
	return ""
}
