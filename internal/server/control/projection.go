package control

import "context"

type projection struct{}

type liveTrial struct{}

func (s *Service) load(ctx context.Context) error { return nil }
