package importer

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"strconv"
	"testing"
	"unicode/utf16"

	"github.com/seatrial/seatrial/internal/core/eval"
	model "github.com/seatrial/seatrial/internal/core/flag"
	"github.com/twmb/murmur3"
)

// The hashes of the other systems, for the claims of the notes. Their vectors are public; see the
// tests of the systems themselves.

func unleashHash(group, id string, seed, n uint32) uint32 {
	return murmur3.SeedStringSum32(seed, group+":"+id)%n + 1
}

func fnv32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// fnvUTF16 is FNV-1a over UTF-16 units, as JavaScript counts.
func fnvUTF16(s string) uint32 {
	h := uint32(0x811c9dc5)
	for _, unit := range utf16.Encode([]rune(s)) {
		h = (h ^ uint32(unit)) * 0x01000193
	}
	return h
}

func goffHash(flag, unit string, n uint32) uint32 { return fnv32(flag+unit) % n }

func growthBookHash(seed, value string, version int) float64 {
	if version == 1 {
		return float64(fnvUTF16(value+seed)%1000) / 1000
	}
	return float64(fnvUTF16(strconv.FormatUint(uint64(fnvUTF16(seed+value)), 10))%10000) / 10000
}

func launchDarklyHash(text string) float64 {
	sum := sha1.Sum([]byte(text))
	n, err := strconv.ParseUint(hex.EncodeToString(sum[:])[:15], 16, 64)
	if err != nil {
		panic(err) // hexadecimal digits
	}
	return float64(float32(n) / float32(0xFFFFFFFFFFFFFFF))
}

func TestHashesOfOthers(t *testing.T) {
	const variants = 86028157 // the seed of Unleash's variants
	tests := []struct {
		what      string
		got, want float64
	}{
		{"Unleash", float64(unleashHash("gr1", "123", 0, 100)), 73},
		{"Unleash", float64(unleashHash("groupX", "999", 0, 100)), 25},
		{"Unleash variants", float64(unleashHash("gr1", "123", variants, 100)), 96},
		{"Unleash variants", float64(unleashHash("groupX", "999", variants, 100)), 60},
		{"GrowthBook 1", growthBookHash("", "a", 1), 0.22},
		{"GrowthBook 1", growthBookHash("", "b", 1), 0.077},
		{"GrowthBook 1", growthBookHash("b", "a", 1), 0.946},
		{"GrowthBook 2", growthBookHash("seed", "a", 2), 0.0505},
		{"GrowthBook 2", growthBookHash("seed", "b", 2), 0.2696},
		{"GrowthBook 2", growthBookHash("foo", "ab", 2), 0.2575},
		{"LaunchDarkly", launchDarklyHash("hashKey.saltyA.userKeyA"), 0.42157587},
		{"LaunchDarkly", launchDarklyHash("hashKey.saltyA.userKeyB"), 0.6708485},
		{"LaunchDarkly", launchDarklyHash("hashKey.saltyA.userKeyC"), 0.10343106},
		{"LaunchDarkly with seed", launchDarklyHash("61.userKeyA"), 0.09801207},
		{"GO Feature Flag", float64(goffHash("my-flag", "e56f628e-9817-498f-ae38-4961e9c2bb21", 100_000)), 70272},
		{"GO Feature Flag", float64(fnv32("flagNameUserKey")), 3946001934},
	}
	for _, test := range tests {
		if math.Abs(test.got-test.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", test.what, test.got, test.want)
		}
	}
}

// The notes say how many users change variant: so many do, by the other system's own hash.
func TestAsManyChangeAsTheNotesSay(t *testing.T) {
	pick := func(at float64, variants ...string) string { // equal parts from below
		return variants[int(at*float64(len(variants)))]
	}
	tests := map[string]struct {
		data string
		run  func([]byte, Options) (*Result, error)
		was  func(unit string) string
	}{
		"goff": {
			`{"f": {"variations": {"a": 1, "b": 2, "c": 3}, "defaultRule": {"percentage": {"a": 20, "b": 30, "c": 50}}}}`, GoFeatureFlag,
			func(unit string) string {
				switch h := goffHash("f", unit, 100_000); { // names in reverse order
				case h < 50_000:
					return "c"
				case h < 80_000:
					return "b"
				}
				return "a"
			},
		},
		"unleash": {
			`{"features": [{"name": "f", "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters": {"rollout": "10", "groupId": "f", "stickiness": "userId"}}]}]}`, Unleash,
			func(unit string) string {
				if unleashHash("f", unit, 0, 100) <= 10 {
					return "on"
				}
				return "off"
			},
		},
		"launchdarkly": {
			`{"flags": {"f": {"key": "f", "on": true, "salt": "s", "variations": ["a", "b"], "fallthrough": {"rollout": {"variations": [{"variation": 0, "weight": 30000}, {"variation": 1, "weight": 70000}]}}}}}`, LaunchDarkly,
			func(unit string) string {
				if launchDarklyHash("f.s."+unit) < 0.3 {
					return "a"
				}
				return "b"
			},
		},
		"growthbook": {
			`{"features": {"f": {"defaultValue": "a", "rules": [{"variations": ["a", "b", "c", "d"], "hashVersion": 2, "hashAttribute": "id"}]}}}`, GrowthBook,
			func(unit string) string { return pick(growthBookHash("f", unit, 2), "a", "b", "c", "d") },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := test.run([]byte(test.data), Options{})
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := eval.Compile(model.Set{Flags: result.Flags, Segments: result.Segments})
			if err != nil {
				t.Fatal(err)
			}
			const units = 20_000
			changed := 0
			for i := range units {
				unit := fmt.Sprintf("user-%d", i)
				if snapshot.Evaluate("f", &eval.Context{TargetingKey: unit}).Variant != test.was(unit) {
					changed++
				}
			}
			said := regexp.MustCompile(`up to ([0-9.]+) %`).FindStringSubmatch(result.Notes[0].Detail)
			if said == nil {
				t.Fatalf("notes: %+v", result.Notes)
			}
			share, _ := strconv.ParseFloat(said[1], 64)
			if got := 100 * float64(changed) / units; math.Abs(got-share) > 2 {
				t.Errorf("%.4g %% change, the note says %v %%", got, share)
			}
		})
	}
}
