package shop

import (
	"cmp"
	"math"
	"slices"
)

// recommender proposes products that go with a basket. It is read-only after newRecommender and
// safe for concurrent use.
type recommender struct {
	products []Product
	index    map[string]int
	// together counts, for each pair of products, last month's baskets with both; the diagonal
	// counts the baskets with the product at all.
	together [][]float64
}

// recommendations is how many products are proposed.
const recommendations = 3

func newRecommender(products []Product) *recommender {
	r := &recommender{products: products, index: make(map[string]int, len(products))}
	r.together = make([][]float64, len(products))
	for i, p := range products {
		r.index[p.ID] = i
		r.together[i] = make([]float64, len(products))
	}
	for _, basket := range basketsSoldTogether(len(products)) {
		slices.Sort(basket)
		basket = slices.Compact(basket)
		for _, a := range basket {
			for _, b := range basket {
				r.together[a][b]++
			}
		}
	}
	return r
}

// bestsellers is the proven algorithm: what sells best in the categories of the basket.
func (r *recommender) bestsellers(items []Item) []string {
	wanted := map[string]bool{}
	for _, i := range r.known(items) {
		wanted[r.products[i].Category] = true
	}
	return r.top(items, func(i int) float64 {
		if !wanted[r.products[i].Category] {
			return 0
		}
		return float64(r.products[i].Sold)
	})
}

// boughtTogether is the new algorithm behind the flag new-recommendation-algorithm: cosine
// similarity between products by the baskets they share, summed over the basket at hand.
func (r *recommender) boughtTogether(items []Item) []string {
	basket := r.known(items)
	return r.top(items, func(i int) float64 {
		var score float64
		for _, b := range basket {
			if norm := r.together[i][i] * r.together[b][b]; norm > 0 {
				score += r.together[i][b] / math.Sqrt(norm)
			}
		}
		return score
	})
}

// known gives the indexes of the items the catalogue has.
func (r *recommender) known(items []Item) []int {
	var indexes []int
	for _, item := range items {
		if i, ok := r.index[item.ID]; ok {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// top gives the products with the highest positive score that are not in the basket, best
// first; equal scores in order of the catalogue.
func (r *recommender) top(basket []Item, score func(int) float64) []string {
	type scored struct {
		index int
		score float64
	}
	var all []scored
	for i, p := range r.products {
		if slices.ContainsFunc(basket, func(item Item) bool { return item.ID == p.ID }) {
			continue
		}
		if s := score(i); s > 0 {
			all = append(all, scored{i, s})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	ids := []string{}
	for _, s := range all[:min(recommendations, len(all))] {
		ids = append(ids, r.products[s.index].ID)
	}
	return ids
}
