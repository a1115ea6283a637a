package logs

import "time"

// TestPatience is enough for an owner that answers on a machine that is busy. A test of
// force has less.
const TestPatience = 2 * time.Minute

// SetPatience says how long d waits for an owner that it asked.
func (d *Dir) SetPatience(patience time.Duration) { d.patience = patience }
