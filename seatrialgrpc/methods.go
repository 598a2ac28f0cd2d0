package seatrialgrpc

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

func (c *config) safe(method string) bool { return named(c.safely, method) || harmless(method) }
func (c *config) once(method string) bool { return named(c.onlyOnce, method) }

// named tells whether a list has the method, "/package.Service/Method", or all of its service.
func named(list []string, method string) bool {
	for _, name := range list {
		service, all := strings.CutSuffix(name, "*")
		if name == method || all && strings.HasSuffix(service, "/") && strings.HasPrefix(method, service) {
			return true
		}
	}
	return false
}

// known remembers what harmless has found; methods are few, and bounded by what the program has
// linked in.
var known sync.Map // of method to bool

// harmless tells whether the definition of a method, if it is linked in, says that it has no side
// effects.
func harmless(method string) bool {
	if found, ok := known.Load(method); ok {
		return found.(bool)
	}
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return false
	}
	options, ok := found.Options().(*descriptorpb.MethodOptions)
	safe := ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	known.Store(method, safe)
	return safe
}
