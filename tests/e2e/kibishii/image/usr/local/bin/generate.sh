#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#   generate.sh LEVELS FOLDERS FILES LENGTH BLOCK PASS WORKERS
exec ask-workers generate "$@"
