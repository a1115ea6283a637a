package server

import healthv1 "google.golang.org/grpc/health/grpc_health_v1"

// HealthOf is what probes of a server ask, which nothing need be served for.
func HealthOf(s *Server) healthv1.HealthServer { return s.health }

// WithTaskInstanceIDs lets a test decide what ids the store gives task instances,
// so that two tenants can have the very same (ISO-1).
func WithTaskInstanceIDs(c Config, newID func() string) Config {
	c.NewID = newID
	return c
}
