package ofprovider_test

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/ofprovider"
)

// An application that is written against OpenFeature gets its flags from Seatrial. Without a
// control plane, as here, it cannot become ready, and its evaluations give the code's defaults.
func Example() {
	ctx := context.Background()
	client, err := seatrial.Open(ctx, seatrial.WithService("order"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	provider := ofprovider.New(client, ofprovider.WithHooks(ofprovider.NewSpanHook()))
	if err := openfeature.SetProviderWithContextAndWait(ctx, provider); err != nil {
		fmt.Println("not ready:", err)
	}
	defer openfeature.Shutdown()

	// What a handler does with the context of its request, inside client.Handler.
	flags := openfeature.NewDefaultClient()
	user := openfeature.NewEvaluationContext("user-42", map[string]any{"plan": "gold"})
	express, _ := flags.BooleanValueDetails(ctx, "express-checkout", false, user)
	fmt.Println(express.Value, express.Reason, express.ErrorCode)
	// Output:
	// not ready: failed to initialize default provider "seatrial": ProviderInitError: the client has neither a control plane nor a snapshot: give seatrial.WithServer or seatrial.WithFile (code: PROVIDER_FATAL)
	// false ERROR PROVIDER_FATAL
}
