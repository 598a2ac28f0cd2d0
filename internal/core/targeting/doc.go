// Package targeting evaluates flagd flag definitions exactly as flagd does, and JsonLogic rules on
// their own: compiled once, without reflection, and usually without allocating.
//
// # Language
//
// A rule is JsonLogic (jsonlogic.com) with the operators that flagd adds: fractional (its second
// generation, see package bucket), sem_ver, starts_with, ends_with and $ref. Variables are the
// attributes, targetingKey, $flagd.flagKey and $flagd.timestamp; dots go into objects and lists.
// Inside the rule that map, filter, all, some, none and reduce apply to each element, variables are
// those of the element only, as flagd's schema says. An object of several members is data. A
// single argument can be written without a list; if it gives a list, its elements are the arguments.
//
// # Where flagd's engines differ
//
// flagd's engines in Go (diegoholiveira/jsonlogic 3.9) and JavaScript (json-logic-engine 5.0) give
// different values in some corners. The Go engine's value is ours:
//
//   - null equals only null, and text that is no number compares with no number;
//   - text that is no number is 0 in arithmetic; an empty object is false, NaN is true;
//   - cat cuts white space off around the result of two or more arguments, so fractional hashes the
//     text without it; substr counts characters and gives the whole text if it starts outside;
//   - in finds a number by its text, and in ranges: 5 is in [[1, 10]];
//   - reduce keeps the type of its initial value and is 0 without a list; all of nothing is false;
//   - a comparison of three values is "between", of more it ignores the rest;
//   - a fractional without a text to hash goes by flag key and targeting key.
//
// Where the Go engine fails, and flagd's server with it, ours is what JavaScript gives: null and
// booleans are numbers in arithmetic, booleans have a text in cat, in looks for numbers in text and
// finds no null there, reduce may begin with a list. What neither can evaluate is an error.
//
// Four of the Go engine's values are not ours, since they are defects: variables of an element that
// the whole context shadows, a list's first element under any name that is no number, 0 found in
// a list of words, and an object of the context that if chooses and that is then run as a rule.
// And in fractional only the variant that is chosen is evaluated.
//
// JavaScript clients hash UTF-16 units where everybody else hashes UTF-8, so units with other than
// ASCII characters in their key may get another variant there.
package targeting
