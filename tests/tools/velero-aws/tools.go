// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names Velero's plugin for S3 stores, which the stock Velero of the tests runs beside itself.
package tools

import (
	_ "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws"
)
