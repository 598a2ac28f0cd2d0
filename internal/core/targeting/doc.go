// Package targeting evaluates flagd flag definitions: JsonLogic with flagd's operators, compiled
// once and run without reflection.
package targeting
