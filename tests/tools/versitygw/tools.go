// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the S3 server that the tests run.
package tools

import (
	_ "github.com/versity/versitygw/cmd/versitygw"
)
