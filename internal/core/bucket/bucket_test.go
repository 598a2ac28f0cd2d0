package bucket

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/murmur3"
	"pgregory.net/rapid"
)

// totalWeight is that of package flag, which builds on this one.
const totalWeight = 100_000

// Property: however the text is cut into absorbed parts, the hash is murmur3_x86_32 of the whole.
func TestHashIsMurmur3(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "parts")
		last := string(rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "last"))
		var s Seed
		for _, part := range parts {
			s = s.Absorb(part)
		}
		whole := strings.Join(parts, "") + last
		if got, want := s.Sum(last), murmur3.StringSum32(whole); got != want {
			t.Fatalf("hash of %q in parts %q is %d, want %d", whole, parts, got, want)
		}
		if got, want := Hash("salt", last), murmur3.StringSum32("salt:"+last); got != want {
			t.Fatalf("Hash(salt, %q) is %d, want %d", last, got, want)
		}
	})
}

// The vectors are flagd's (fractional v2), recomputed for the reference.
func TestFractionalVectors(t *testing.T) {
	var vectors []struct {
		Input               string
		Hash, Total, Bucket uint32
	}
	data, err := os.ReadFile("testdata/murmur.json")
	if err == nil {
		err = json.Unmarshal(data, &vectors)
	}
	if err != nil || len(vectors) == 0 {
		t.Fatal(err, len(vectors))
	}
	for _, v := range vectors {
		if got := (Seed{}).Sum(v.Input); got != v.Hash {
			t.Errorf("hash of %q is %d, want %d", v.Input, got, v.Hash)
		}
		if got := Of(v.Hash, v.Total); got != v.Bucket {
			t.Errorf("bucket of %d in %d is %d, want %d", v.Hash, v.Total, got, v.Bucket)
		}
	}
	if Of(math.MaxUint32, totalWeight) != totalWeight-1 || Of(5, 0) != 0 {
		t.Error("the last bucket is not the last of the total")
	}
}

// flagdFlags are those flags of flagd's test kit that hash a text of the form prefix + unit and
// serve fixed variants; the rest needs JsonLogic.
var flagdFlags = map[string]struct {
	prefix   string
	variants []string // of equal weights
}{
	"fractional-flag":               {"fractional-flag", []string{"clubs", "diamonds", "hearts", "spades"}},
	"fractional-flag-shorthand":     {"fractional-flag-shorthand", []string{"heads", "tails"}},
	"fractional-flag-A-shared-seed": {"shared-seed", []string{"clubs", "diamonds", "hearts", "spades"}},
	"fractional-flag-B-shared-seed": {"shared-seed", []string{"ace-of-clubs", "ace-of-diamonds", "ace-of-hearts", "ace-of-spades"}},
	"fractional-hash-edge-flag":     {"", []string{"lower", "upper"}},
}

// flagd's own cases, from the test kit that its clients in every language run.
func TestFlagdFractionalCases(t *testing.T) {
	const path = "../../../../shared/conformance/flagd/evaluator/gherkin/fractional.feature"
	text, err := os.ReadFile(path)
	if err != nil {
		if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip("needs flagd's test kit in ../shared/conformance: ", err)
	}
	key, v2, cases := "", false, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Given a String-flag with key "), strings.HasPrefix(line, "And a String-flag with key "):
			key, v2 = strings.Split(line, `"`)[1], false
		case strings.HasPrefix(line, "@"):
			v2 = strings.Contains(line, "@fractional-v2")
		case strings.HasPrefix(line, "|"):
			f, known := flagdFlags[key]
			cells := strings.Split(line, "|")
			unit, want := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[len(cells)-2])
			if !known || want == "value" || !v2 && key != "fractional-hash-edge-flag" {
				continue
			}
			cases++
			bucket := Of(Seed{}.Absorb(f.prefix).Sum(unit), uint32(len(f.variants)))
			if got := f.variants[bucket]; got != want {
				t.Errorf("%s for %q: %s, want %s", key, unit, got, want)
			}
		}
	}
	if cases < 15 {
		t.Errorf("only %d cases were found in the test kit", cases)
	}
}

// ids are populations as they occur, 10,000 each; the founding sketch put all of some of them
// into one bucket.
var ids = map[string]func(i int) string{
	"sequential":  func(i int) string { return fmt.Sprintf("user-%d", i) },
	"zero-padded": func(i int) string { return fmt.Sprintf("user-%06d", i) },
	"decimal":     func(i int) string { return fmt.Sprint(i + 1) },
	"e-mail":      func(i int) string { return fmt.Sprintf("jane.doe%d@example.com", i) },
	"uuid": func(i int) string {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), uint16(h>>48)&0xfff, i&0xfff, h*0xbf58476d1ce4e5b9&0xffffffffffff)
	},
}

const population = 10_000

// Test F1 of the reference: the share that a flag gets is that of a binomial draw, within four
// standard deviations (five where over 5,000 are compared at once), for every kind of id.
func TestSharesAreAsAskedFor(t *testing.T) {
	for name, id := range ids {
		units := make([]string, population)
		for i := range units {
			units[i] = id(i)
		}
		outside := 0
		for f := range 200 {
			salt := NewSeed(fmt.Sprintf("flag-%d", f))
			buckets := make([]uint32, population)
			for i, unit := range units {
				buckets[i] = Of(salt.Sum(unit), totalWeight)
			}
			slices.Sort(buckets)
			for _, p := range []float64{0.01, 0.05, 0.1, 0.5, 0.9} {
				in, _ := slices.BinarySearch(buckets, uint32(p*totalWeight))
				sd := math.Abs(float64(in)-p*population) / math.Sqrt(population*p*(1-p))
				if sd > 5 {
					t.Errorf("%s: flag %d at %v has %d of %d units", name, f, p, in, population)
				}
				if sd > 4 {
					outside++
				}
			}
		}
		if outside > 2 { // 1,000 draws: 0.06 are expected
			t.Errorf("%s: %d of 1,000 shares are off by more than four standard deviations", name, outside)
		}
	}
}

// Test F2: being in one flag says nothing about being in another.
func TestFlagsAreIndependent(t *testing.T) {
	for name, id := range ids {
		in := make([][]bool, 15)
		for f := range in {
			salt := NewSeed(fmt.Sprintf("flag-%d", f))
			for i := range population {
				in[f] = append(in[f], Of(salt.Sum(id(i)), totalWeight) < totalWeight/10)
			}
		}
		for a := range in {
			for b := range a {
				n, both := 0.0, 0.0
				for i := range population {
					if in[a][i] {
						n++
						if in[b][i] {
							both++
						}
					}
				}
				if sd := math.Abs(both-0.1*n) / math.Sqrt(0.09*n); sd > 4.5 {
					t.Errorf("%s: of %v units in flag %d, %v are in flag %d", name, n, a, both, b)
				}
			}
		}
	}
}

// Test F3: salt and unit are told apart, however they are cut; and F5: equal-length names.
func TestSaltAndUnitAreToldApart(t *testing.T) {
	for _, pair := range [][4]string{{"beta", "1user", "beta1", "user"}, {"x", "Aa", "x", "BB"}, {"flag-a", "u", "flag-b", "u"}} {
		if Hash(pair[0], pair[1]) == Hash(pair[2], pair[3]) {
			t.Errorf("%q hash alike", pair)
		}
	}
}
