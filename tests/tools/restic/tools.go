// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the command of restic, a peer in tests/bench.
package tools

import (
	_ "github.com/restic/restic/cmd/restic"
)
