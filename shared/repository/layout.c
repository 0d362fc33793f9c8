/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/format.h"
#include "shared/repository/repository.h"

int xb_repository_layout(struct xb_store *store, bool create, struct xb_store **ret,
                         struct xb_error *err)
{
    struct xb_store_item item;
    struct xb_error missing = XB_ERROR_INIT;
    if (xb_store_is_bucket(store)) {
        *ret = store; /* kopia's names as they are, never files with an ending */
        return 0;
    }
    if (xb_store_stat(store, XB_FORMAT_BLOB, &item, &missing) == 0) {
        *ret = store;
        return 0;
    }
    if (missing.kind != XB_ERR_NOT_FOUND) {
        *err = missing;
        xb_store_free(store);
        return err->code;
    }
    return xb_store_sharded_open(store, create, ret, err);
}
