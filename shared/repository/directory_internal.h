/* SPDX-License-Identifier: Apache-2.0
 *
 * directory_internal.h - what the files of directory.h share beyond entry_internal.h.
 *
 * What for:  the directory_*.c files only.
 */
#pragma once

#include "shared/repository/entry_internal.h"

/* Entries keep the names that are stored, however often one comes. */
void xb_directory_cursor_as_stored(struct xb_directory_cursor *cursor);
