// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names what Velero's own end-to-end suite is made of: its test package alone cannot be imported.
package tools

import (
	_ "github.com/vmware-tanzu/velero/test"
	_ "github.com/vmware-tanzu/velero/test/e2e/backup"
	_ "github.com/vmware-tanzu/velero/test/e2e/backups"
	_ "github.com/vmware-tanzu/velero/test/e2e/basic"
	_ "github.com/vmware-tanzu/velero/test/e2e/basic/api-group"
	_ "github.com/vmware-tanzu/velero/test/e2e/basic/backup-volume-info"
	_ "github.com/vmware-tanzu/velero/test/e2e/basic/resources-check"
	_ "github.com/vmware-tanzu/velero/test/e2e/bsl-mgmt"
	_ "github.com/vmware-tanzu/velero/test/e2e/migration"
	_ "github.com/vmware-tanzu/velero/test/e2e/nodeagentconfig"
	_ "github.com/vmware-tanzu/velero/test/e2e/parallelfilesdownload"
	_ "github.com/vmware-tanzu/velero/test/e2e/parallelfilesupload"
	_ "github.com/vmware-tanzu/velero/test/e2e/privilegesmgmt"
	_ "github.com/vmware-tanzu/velero/test/e2e/pv-backup"
	_ "github.com/vmware-tanzu/velero/test/e2e/repomaintenance"
	_ "github.com/vmware-tanzu/velero/test/e2e/resource-filtering"
	_ "github.com/vmware-tanzu/velero/test/e2e/resourcemodifiers"
	_ "github.com/vmware-tanzu/velero/test/e2e/resourcepolicies"
	_ "github.com/vmware-tanzu/velero/test/e2e/scale"
	_ "github.com/vmware-tanzu/velero/test/e2e/schedule"
	_ "github.com/vmware-tanzu/velero/test/e2e/upgrade"
)
