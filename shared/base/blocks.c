/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/blocks.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Mapped, not from the heap: what is given up leaves the process, and no heap falls to pieces. */
struct xb_block *xb_block_make(struct xb_error *err)
{
    struct xb_block *block = calloc(1, sizeof *block);
    void *data = block ? mmap(NULL, XB_BLOCK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                       : MAP_FAILED;
    if (data == MAP_FAILED) {
        free(block);
        (void)!xb_error_no_memory(err, "a block of file data");
        return NULL;
    }
    block->data = data;
    block->size = XB_BLOCK_BYTES;
    return block;
}

int xb_block_heap(size_t bytes, struct xb_block **ret, struct xb_error *err)
{
    struct xb_block *block = malloc(sizeof *block + bytes);
    if (!block) {
        return xb_error_no_memory(err, "a block of data");
    }
    *block = (struct xb_block){.data = (unsigned char *)(block + 1), .size = bytes, .refs = 1};
    *ret = block;
    return 0;
}

void xb_blocks_release(struct xb_block *list)
{
    while (list) {
        struct xb_block *next = list->next;
        munmap(list->data, XB_BLOCK_BYTES);
        free(list);
        list = next;
    }
}
