package server

// WithTaskInstanceIDs lets a test decide what ids the store gives task instances,
// so that two tenants can have the very same (ISO-1).
func WithTaskInstanceIDs(c Config, newID func() string) Config {
	c.NewID = newID
	return c
}
