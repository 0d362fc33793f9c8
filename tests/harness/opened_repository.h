/* SPDX-License-Identifier: Apache-2.0
 *
 * opened_repository.h - a new repository in memory, open, for each test of a file.
 *
 * What for:  cmocka_unit_test_setup_teardown(TEST, setup, teardown). `store` is where it lies.
 * Ownership: teardown frees both; a test may put another open one into `repository`.
 * Threads:   as cmocka.    Blocking: as repository_probe.h.
 */
#pragma once

#include "tests/harness/repository_probe.h"

static struct xb_store *store;
static struct xb_repository *repository;

static int setup(void **state)
{
    (void)state;
    store = probe_repository_store();
    repository = probe_open(store);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    return 0;
}
