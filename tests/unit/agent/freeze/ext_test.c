/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a superblock of the ext family has a journal, by what real mkfs makes of it.
 */
#include "tests/harness/probe.h"

#include <fcntl.h>

#include "agent/freeze/ext.h"

/* A superblock that mkfs.ext4 has made. */
static void load(const char *name, unsigned char ret[XB_EXT_SUPER_BYTES])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/../fuzz/corpus/ext_super_fuzz/%s", XB_TEST_DATA, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, ret, XB_EXT_SUPER_BYTES), XB_EXT_SUPER_BYTES);
    close(fd);
}

static void test_what_mkfs_makes(void **state)
{
    static const struct {
        const char *name;
        enum xb_ext_journal journal;
    } cases[] = {{"ext2", XB_EXT_JOURNAL_NONE},
                 {"ext3", XB_EXT_JOURNAL_WITHIN},
                 {"ext4", XB_EXT_JOURNAL_WITHIN},
                 {"ext4-without", XB_EXT_JOURNAL_NONE},
                 {"revision-0", XB_EXT_JOURNAL_NONE}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char block[XB_EXT_SUPER_BYTES];
        enum xb_ext_journal journal = XB_EXT_JOURNAL_ELSEWHERE;
        load(cases[i].name, block);
        PROBE_OK(xb_ext_journal_parse(block, &journal, &err));
        assert_int_equal(journal, cases[i].journal);
    }
}

static void test_journal_on_another_device(void **state)
{
    unsigned char block[XB_EXT_SUPER_BYTES];
    enum xb_ext_journal journal = XB_EXT_JOURNAL_NONE;
    (void)state;
    load("ext4", block);
    memset(block + 0xe0, 0, 4); /* no inode has it */
    PROBE_OK(xb_ext_journal_parse(block, &journal, &err));
    assert_int_equal(journal, XB_EXT_JOURNAL_ELSEWHERE);
}

static void test_no_superblock(void **state)
{
    unsigned char block[XB_EXT_SUPER_BYTES];
    enum xb_ext_journal journal = XB_EXT_JOURNAL_NONE;
    (void)state;
    load("ext4", block);
    block[0x38] ^= 1;
    PROBE_REFUSED(xb_ext_journal_parse(block, &journal, &err), XB_ERR_CORRUPT);
    memset(block, 0, sizeof block);
    PROBE_REFUSED(xb_ext_journal_parse(block, &journal, &err), XB_ERR_CORRUPT);
    assert_int_equal(journal, XB_EXT_JOURNAL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_mkfs_makes),
                                       cmocka_unit_test(test_journal_on_another_device),
                                       cmocka_unit_test(test_no_superblock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
