// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the commands that the tests build from Velero's module and from the kopia that it pins.
package tools

import (
	_ "github.com/kopia/kopia"
	_ "github.com/vmware-tanzu/velero/cmd/velero"
	_ "github.com/vmware-tanzu/velero/cmd/velero-restore-helper"
)
