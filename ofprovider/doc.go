// Package ofprovider makes a Seatrial client a provider of OpenFeature: an application that is
// written against the OpenFeature SDK for Go gets Seatrial's flags, and with them its rollouts
// and experiments, without a change of its code.
//
//	client, err := seatrial.Open(ctx, seatrial.WithServer(url), seatrial.WithKey(key))
//	err = openfeature.SetProviderWithContextAndWait(ctx, ofprovider.New(client))
//	defer client.Close(nil)
//
// Evaluations read the client's snapshot in process, as those of the client do: they never block
// and do no I/O. Give them the context of the request: a unit of work that is open in it, for
// instance by [seatrial.Client.Handler], is what makes an evaluation count for a trial.
//
// # Evaluation context
//
// The targeting key must be a text; another kind of value is INVALID_CONTEXT. Attributes of any
// kind can be matched by rules where they are, or convert to, texts, numbers, booleans, lists and
// objects of those: times become texts in RFC 3339, named types their underlying ones. Structs and
// everything else match nothing. Only the evaluation context of OpenFeature counts, not that of
// [seatrial.WithContext].
//
// # Metadata
//
// Flag metadata has "flagSetId", the environment, and while a trial runs on the flag "version",
// which names the trial, the attempt and the step. Metadata of imported flagd definitions is
// passed on. Events have both, where "version" is the revision of the environment.
package ofprovider
