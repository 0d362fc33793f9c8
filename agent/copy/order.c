/* SPDX-License-Identifier: Apache-2.0
 *
 * What a name says of an object: when its turn comes, and whether it ever changes (kopia-format
 * section 1, velero-contract section 1).
 */
#include <stdlib.h>
#include <string.h>

#include "agent/copy/internal.h"
#include "shared/repository/format.h"
#include "shared/velero/location.h"

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum xb_copy_phase xb_copy_phase_of_blob(const char *name)
{
    static const char *const left_out[] = {".shards", ".storageconfig", "kopia.maintenance",
                                           XB_COPY_MARK};
    static const char *const format[] = {XB_FORMAT_BLOBCFG, "udmrepo.Repository"};
    if (is_one_of(name, left_out, sizeof left_out / sizeof left_out[0])) {
        return XB_COPY_LEFT_OUT;
    }
    if (strcmp(name, XB_FORMAT_BLOB) == 0) {
        return XB_COPY_COMMIT;
    }
    if (is_one_of(name, format, sizeof format / sizeof format[0]) ||
        strncmp(name, "kopia.", 6) == 0) {
        return XB_COPY_FORMAT;
    }
    switch (name[0]) {
    case 's':
        return XB_COPY_SESSIONS;
    case 'p':
    case 'q':
        return XB_COPY_PACKS;
    case 'x':
    case 'n':
    case 'm':
    case 'l':
        return XB_COPY_INDEXES;
    default:
        return XB_COPY_OTHERS;
    }
}

/* "backups/<name>/velero-backup.json": without it a backup's files are no backup. */
static bool is_backup(const char *name)
{
    static const char folder[] = "backups/";
    const char *slash = strncmp(name, folder, sizeof folder - 1) == 0
                            ? strchr(name + sizeof folder - 1, '/')
                            : NULL;
    return slash && strcmp(slash + 1, "velero-backup.json") == 0;
}

enum xb_copy_phase xb_copy_phase_of_record(const char *name)
{
    return strcmp(name, XB_STORE_IDENTITY_KEY) == 0 ? XB_COPY_LEFT_OUT
           : is_backup(name)                        ? XB_COPY_COMMIT
                                                    : XB_COPY_OTHERS;
}

bool xb_copy_blob_is_fixed(const char *name)
{
    enum xb_copy_phase phase = xb_copy_phase_of_blob(name);
    return phase == XB_COPY_SESSIONS || phase == XB_COPY_PACKS || phase == XB_COPY_INDEXES ||
           name[0] == '_';
}
