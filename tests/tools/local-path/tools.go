// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the command that the tests build from local-path-provisioner's module.
package tools

import _ "github.com/rancher/local-path-provisioner"
