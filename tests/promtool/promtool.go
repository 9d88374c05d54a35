//go:build tools

// Package promtool pins the program that checks and tests the alert rules.
package promtool

import _ "github.com/prometheus/prometheus/cmd/promtool"
