package load

import (
	"fmt"
	"math/rand/v2"

	"github.com/seatrial/seatrial/examples/shop"
)

// Shares of the users that are in a group, in per cent.
const (
	betaPercent     = 10
	internalPercent = 2
)

// Users makes n distinct users, always the same for the same seed. About a tenth are in the
// group "beta-testers" and one in fifty in "internal-users"; some are in both.
func Users(seed uint64, n int) []shop.User {
	rng := rand.New(rand.NewPCG(seed, 0x75736572))
	users := make([]shop.User, n)
	for i := range users {
		users[i].ID = fmt.Sprintf("user-%08x-%04d", rng.Uint32(), i)
		if rng.IntN(100) < betaPercent {
			users[i].Groups = append(users[i].Groups, "beta-testers")
		}
		if rng.IntN(100) < internalPercent {
			users[i].Groups = append(users[i].Groups, "internal-users")
		}
	}
	return users
}

// checkouts draws endless checkouts of random users with baskets of one to three items.
type checkouts struct {
	rng      *rand.Rand
	users    []shop.User
	products []shop.Product
}

func newCheckouts(seed uint64, users []shop.User) *checkouts {
	return &checkouts{rng: rand.New(rand.NewPCG(seed, 0x62756d70)), users: users, products: shop.Catalogue()}
}

// next draws one checkout. Not safe for concurrent use.
func (c *checkouts) next() shop.Checkout {
	user := c.users[c.rng.IntN(len(c.users))]
	items := make([]shop.Item, 1+c.rng.IntN(3))
	first := c.rng.IntN(len(c.products))
	for i := range items {
		p := c.products[(first+i*7)%len(c.products)]
		items[i] = shop.Item{ID: p.ID, Quantity: 1 + c.rng.IntN(3)}
	}
	return shop.Checkout{User: user.ID, Groups: user.Groups, Items: items}
}
