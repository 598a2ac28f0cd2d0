package shop

import (
	"fmt"
	"math/rand/v2"
)

// Product is one thing the shop sells.
type Product struct {
	ID       string `json:"id"`
	Category string `json:"category"`
	// PriceCents is the price of one unit.
	PriceCents int64 `json:"priceCents"`
	// Sold is how often it was sold last month; the shop's bestseller lists go by it.
	Sold int `json:"sold"`
}

// categories of the catalogue, twelve products each.
var categories = []string{"anchors", "charts", "lamps", "ropes", "sails"}

const productsPerCategory = 12

// Catalogue gives the products of the shop, always the same 60, in the same order. The slice is
// the caller's own.
func Catalogue() []Product {
	rng := rand.New(rand.NewPCG(1, 60))
	var all []Product
	for _, category := range categories {
		for i := range productsPerCategory {
			all = append(all, Product{
				ID:         fmt.Sprintf("%s-%02d", category, i+1),
				Category:   category,
				PriceCents: 500 + rng.Int64N(19_500),
				Sold:       rng.IntN(900),
			})
		}
	}
	return all
}

// basketsSoldTogether gives last month's baskets as lists of product indexes. People buy within
// a category, and now and then across: that is what the new recommendation algorithm learns.
func basketsSoldTogether(products int) [][]int {
	rng := rand.New(rand.NewPCG(2, 60))
	baskets := make([][]int, 400)
	for i := range baskets {
		first := rng.IntN(products)
		basket := []int{first}
		for range 1 + rng.IntN(3) {
			next := first - first%productsPerCategory + rng.IntN(productsPerCategory)
			if rng.IntN(4) == 0 {
				next = (first + productsPerCategory) % products
			}
			basket = append(basket, next)
		}
		baskets[i] = basket
	}
	return baskets
}
