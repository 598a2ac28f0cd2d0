package shop

import (
	"slices"
	"testing"
)

func TestRecommendations(t *testing.T) {
	r := newRecommender(Catalogue())
	for _, test := range []struct {
		name      string
		algorithm func([]Item) []string
		basket    []Item
		want      int
	}{
		{"bestsellers", r.bestsellers, []Item{{ID: "ropes-01"}}, recommendations},
		{"bestsellers of an unknown item", r.bestsellers, []Item{{ID: "moon"}}, 0},
		{"bought together", r.boughtTogether, []Item{{ID: "ropes-01"}, {ID: "sails-03"}}, recommendations},
		{"bought together with nothing", r.boughtTogether, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.algorithm(test.basket)
			if len(got) != test.want {
				t.Fatalf("got %d recommendations %v, want %d", len(got), got, test.want)
			}
			for _, item := range test.basket {
				if slices.Contains(got, item.ID) {
					t.Errorf("recommends %s, which is in the basket already", item.ID)
				}
			}
			if again := test.algorithm(test.basket); !slices.Equal(got, again) {
				t.Errorf("first %v, then %v for the same basket", got, again)
			}
		})
	}
}
