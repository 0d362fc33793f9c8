/* SPDX-License-Identifier: Apache-2.0
 *
 * opened_tree.h - an empty tree to back up and a new repository in memory, for each test of a file.
 *
 * What for:  cmocka_unit_test_setup_teardown(TEST, setup, teardown), or parts of a file's own.
 * Ownership: teardown frees all three; a test may put another open one into `repository`.
 * Threads:   as cmocka.    Blocking: as repository_probe.h.
 */
#pragma once

#include "tests/harness/tree_probe.h"

static struct tree tree;
static struct xb_store *store;
static struct xb_repository *repository;

static inline int setup(void **state)
{
    (void)state;
    tree = tree_new();
    store = probe_repository_store();
    repository = probe_open(store);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    tree_free(&tree);
    return 0;
}
