/* SPDX-License-Identifier: Apache-2.0
 *
 * A file whose beginning is written and trimmed again all the time is backed up as long as it is,
 * whenever that happens: also between the two questions for where data begins and ends.
 */
#include "tests/harness/tree_probe.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/pipeline/backup.h"

enum { MIB = 1024 * 1024, FILE_MIB = 80, STEP = 65536 };

static const size_t size = (size_t)FILE_MIB * MIB;
static struct tree tree;
static unsigned asked; /* how often where the first data ends */
static bool armed;

/* Takes the C library's place: whoever asks where data begins finds some at the very beginning, and
 * it is a hole when he asks where it ends. */
off_t lseek(int fd, off_t offset, int whence)
{
    if (armed && offset == 0 && (whence == SEEK_DATA || whence == SEEK_HOLE)) {
        XB_CLEANUP(xb_closep) int writer = openat(tree.fd, "image", O_WRONLY | O_CLOEXEC);
        const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        asked += whence == SEEK_HOLE;
        assert_int_equal(whence == SEEK_HOLE ? fallocate(writer, punch, 0, STEP)
                                             : pwrite(writer, "", 1, 0) - 1,
                         0);
    }
    return syscall(SYS_lseek, fd, offset, whence);
}

static void make_image(void)
{
    static const size_t data_mib[] = {0, 40, FILE_MIB - 1};
    int fd = openat(tree.fd, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *data = malloc(MIB);
    assert_true(fd >= 0 && data);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (size_t i = 0; i < sizeof data_mib / sizeof *data_mib; i++) {
        memset(data, (int)('a' + i), MIB);
        assert_int_equal(pwrite(fd, data, MIB, (off_t)(data_mib[i] * MIB)), MIB);
    }
    free(data);
    close(fd);
}

static void a_hole_between_two_questions(void **state)
{
    (void)state;
    tree = tree_new();
    make_image();
    tree_settle();
    struct xb_store *store = probe_repository_store();
    struct xb_repository *repository = probe_open(store);
    struct xb_backup_result result = {.files = 0};
    const struct xb_backup_options options = {
        .root_fd = tree.fd, .root_name = "root", .threads = 2};
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(size + 1);
    armed = true;
    PROBE_OK(xb_backup_run(repository, &options, &result, &err));
    armed = false;
    assert_true(asked > 0);
    PROBE_OK(xb_repository_flush(repository, &err));
    PROBE_OK(xb_directory_read(repository, &result.root.object, &directory, &err));
    assert_int_equal(directory->count, 1);
    PROBE_OK(xb_object_read_all(repository, &directory->entries[0].object, &out, &err));
    assert_int_equal(directory->entries[0].size, size);
    assert_int_equal(out.len, size);
    int fd = openat(tree.fd, "image", O_RDONLY | O_CLOEXEC);
    char *want = malloc(size);
    assert_true(fd >= 0 && want);
    assert_int_equal(pread(fd, want, size, 0), (ssize_t)size);
    assert_memory_equal(out.data, want, size);
    free(want);
    close(fd);
    xb_backup_result_free(&result);
    xb_repository_free(repository);
    xb_store_free(store);
    tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hole_between_two_questions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
