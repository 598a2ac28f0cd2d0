package control

import "testing"

func TestNameOfAnActor(t *testing.T) {
	for actor, want := range map[string]string{
		Principal{ID: "x7", Name: "Ada (ops)", Kind: TokenAPI}.Actor(): "Ada (ops)",
		"controller": "controller",
		"":           "",
	} {
		if got := nameOf(actor); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", actor, got, want)
		}
	}
}
