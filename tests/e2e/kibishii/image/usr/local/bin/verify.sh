#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#   verify.sh LEVELS FOLDERS FILES LENGTH BLOCK PASS WORKERS
exec ask-workers verify "$@"
