// Package members holds member lists of segments: up to ten million targeting keys, kept as keyed
// 64-bit hashes (SipHash-2-4) and never as the keys themselves.
//
// A list is made of parts ([Part]), immutable blocks of sorted hashes that add or remove members
// in order ([Edit]). [Build] merges them into a [Set], which answers whether a targeting key is a
// member. [Collector] turns targeting keys into parts, and [Merge] many parts into few.
//
// # What a hash can get wrong
//
// A member is always found. Somebody who is no member is taken for one if the hashes happen to be
// equal: with probability n/2^64 for a list of n, which is 5·10^-13 for ten million, or one in
// 1.8·10^12 look-ups by strangers. Two members with one hash count as one; that any two of ten
// million have is as likely as n²/2^65, 3·10^-6. The key is new for each list, so nobody can
// choose targeting keys that collide, and equal members of two lists have different hashes.
//
// Hashes are no secret against guessing: who has the list's key, as every SDK does, can test any
// targeting key that is known or can be enumerated.
package members
