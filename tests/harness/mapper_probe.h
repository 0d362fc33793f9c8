/* SPDX-License-Identifier: Apache-2.0
 *
 * mapper_probe.h - answers of the device mapper as the kernel writes them, for tests of
 * agent/mapper.
 *
 * Threads:   none shared.    Blocking: never.
 */
#pragma once

#include <linux/dm-ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAPPER_ANSWER_BYTES = 4096 };

struct mapper_answer {
    _Alignas(8) unsigned char bytes[MAPPER_ANSWER_BYTES];
    size_t len; /* that the kernel has filled */
};

static inline struct dm_ioctl *mapper_begin(struct mapper_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    struct dm_ioctl *header = (struct dm_ioctl *)answer->bytes;
    header->version[0] = DM_VERSION_MAJOR;
    header->data_size = header->data_start = sizeof *header;
    answer->len = sizeof *header;
    return header;
}

static inline void mapper_append(struct mapper_answer *answer, const void *data, size_t len)
{
    memcpy(answer->bytes + answer->len, data, len);
    answer->len += (len + 7) / 8 * 8;
    ((struct dm_ioctl *)answer->bytes)->data_size = (uint32_t)answer->len;
}

static inline void mapper_target(struct mapper_answer *answer, const char *type, const char *text)
{
    char bytes[sizeof(struct dm_target_spec) + 600] = {0};
    struct dm_target_spec spec = {.length = 8};
    mapper_begin(answer)->target_count = 1;
    snprintf(spec.target_type, sizeof spec.target_type, "%s", type);
    memcpy(bytes, &spec, sizeof spec);
    memcpy(bytes + sizeof spec, text, strlen(text) + 1);
    mapper_append(answer, bytes, sizeof spec + strlen(text) + 1);
}

/* Devices 253:0 to 253:count-1. */
static inline void mapper_list(struct mapper_answer *answer, unsigned count)
{
    static const char name[] = "vg-some-volume";
    char bytes[64] = {0};
    mapper_begin(answer);
    for (unsigned i = 0; i < count || i == 0; i++) {
        struct dm_name_list one = {.dev = count ? 253U << 8 | i : 0,
                                   .next = i + 1 < count ? 32 : 0};
        memcpy(bytes, &one, sizeof one);
        memcpy(bytes + offsetof(struct dm_name_list, name), name, sizeof name);
        mapper_append(answer, bytes, 32);
    }
}
