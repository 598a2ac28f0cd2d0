// Package arch holds no code, only the test that keeps the house in order: who may import whom,
// what the pure core may not do, and how long files and functions may grow. Every rule says why.
package arch
