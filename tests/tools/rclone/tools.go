// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the command of rclone: `rclone serve s3` is the second S3 server that the tests run.
package tools

import (
	_ "github.com/rclone/rclone"
)
