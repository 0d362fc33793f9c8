/* SPDX-License-Identifier: Apache-2.0
 *
 * A copied store is the same store: whole, in an order that keeps a part from being taken for the
 * whole, and proved on arrival.
 */
#include "tests/harness/tree_probe.h"

#include "agent/copy/copy.h"
#include "shared/store/fault/fault.h"
#include "shared/velero/location.h"
#include "tests/harness/hook_store.h"

enum { LARGE_BYTES = 2 * XB_COPY_PIECE_BYTES + 12345 };

static const struct xb_copy_options plain = {.threads = 3, .flat = true};

#define BACKUP "backups/first/velero-backup.json"
#define SHOP "kopia/shop/"
#define PACK "p00112233445566778899aabbccddeeff-s0123456789abcdef147"
#define LARGE_PACK "pffeeddccbbaa99887766554433221100-s0123456789abcdef147"
#define INDEX "xn0_00112233445566778899aabbccddeeff-s0123456789abcdef147-c1"

/* ---- sources ---- */

static void put_large(struct xb_store *store, const char *name)
{
    static unsigned char data[LARGE_BYTES];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i * 31 + i / 4099);
    }
    PROBE_OK(xb_store_put(store, name, data, sizeof data, NULL, &err));
}

/* A repository with a blob of each kind. */
static struct xb_store *repository_source(void)
{
    struct xb_store *store = probe_repository_store();
    static const char *const names[] = {PACK,
                                        INDEX,
                                        "q00112233445566778899aabbccddeeff-s0123456789abcdef147",
                                        "sfedcba98765432100123456789abcdef-s0123456789abcdef147",
                                        "_log_20261125000000_ab12_1_2_1_0123456789abcdef",
                                        "xe1",
                                        "kopia.maintenance",
                                        "kopia.blobcfg",
                                        "udmrepo.Repository",
                                        "zprivate"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        probe_put(store, names[i], names[i]);
    }
    probe_put(store, "zempty", "");
    put_large(store, LARGE_PACK);
    return store;
}

static struct xb_store *location_source(void)
{
    struct xb_store *store = probe_empty_store();
    struct xb_store *repository = repository_source();
    struct probe_names all = probe_list(repository, "");
    for (size_t i = 0; i < all.count; i++) {
        char name[256];
        struct xb_buf data = XB_BUF_INIT(LARGE_BYTES);
        snprintf(name, sizeof name, SHOP "%s", all.names[i]);
        PROBE_OK(xb_store_get(repository, all.names[i], 0, XB_STORE_TO_END, &data, &err));
        PROBE_OK(xb_store_put(store, name, data.data ? data.data : "", data.len, NULL, &err));
        xb_buf_free(&data);
    }
    probe_names_free(&all);
    xb_store_free(repository);
    probe_put(store, "backups/first/first.tar.gz", "items");
    probe_put(store, "backups/first/first-logs.gz", "log");
    probe_put(store, BACKUP, "{}");
    probe_put(store, "restores/again/restore-again-results.gz", "results");
    probe_put(store, "metadata/revision", "1");
    probe_put(store, XB_STORE_IDENTITY_KEY, "{}");
    probe_put(store, "README", "loose");
    probe_put(store, "kopia/README", "loose, too");
    return store;
}

/* ---- comparing ---- */

static bool left_out(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *file = slash ? slash + 1 : name;
    return strcmp(file, "kopia.maintenance") == 0 || strcmp(file, ".shards") == 0 ||
           strcmp(name, XB_STORE_IDENTITY_KEY) == 0;
}

static bool holds_equal(struct xb_store *a, struct xb_store *b, const char *name)
{
    struct xb_buf here = XB_BUF_INIT(LARGE_BYTES), there = XB_BUF_INIT(LARGE_BYTES);
    struct xb_error ignored = XB_ERROR_INIT;
    PROBE_OK(xb_store_get(a, name, 0, XB_STORE_TO_END, &here, &err));
    bool equal = xb_store_get(b, name, 0, XB_STORE_TO_END, &there, &ignored) == 0 &&
                 here.len == there.len &&
                 memcmp(here.data ? here.data : "", there.data ? there.data : "", here.len) == 0;
    xb_buf_free(&here);
    xb_buf_free(&there);
    return equal;
}

/* How many objects of the source below `prefix` the target misses or has otherwise. */
static size_t missing(struct xb_store *source, struct xb_store *target, const char *prefix)
{
    struct probe_names all = probe_list(source, prefix);
    size_t count = 0;
    for (size_t i = 0; i < all.count; i++) {
        count += !left_out(all.names[i]) && !holds_equal(source, target, all.names[i]);
    }
    probe_names_free(&all);
    return count;
}

static bool has(struct xb_store *store, const char *name)
{
    struct xb_store_item item;
    struct xb_error ignored = XB_ERROR_INIT;
    return xb_store_stat(store, name, &item, &ignored) == 0;
}

/* All that must be there is, and nothing else. */
static void same_stores(struct xb_store *source, struct xb_store *target)
{
    assert_int_equal(missing(source, target, ""), 0);
    struct probe_names all = probe_list(target, "");
    for (size_t i = 0; i < all.count; i++) {
        if (!has(source, all.names[i])) {
            fail_msg("the target has %s", all.names[i]);
        }
        assert_false(left_out(all.names[i]));
    }
    probe_names_free(&all);
}

static struct xb_copy_result copy_ok(struct xb_store *source, struct xb_store *target,
                                     const struct xb_copy_options *options)
{
    struct xb_copy_result result = {.objects = 0};
    PROBE_OK(xb_copy_run(source, target, options, &result, &err));
    return result;
}

static void copy_refused(struct xb_store *source, struct xb_store *target, enum xb_error_kind kind,
                         const char *words)
{
    struct xb_copy_result result;
    PROBE_REFUSED(xb_copy_run(source, target, &plain, &result, &err), kind, words);
}

/* ---- tests ---- */

/* Both shapes arrive whole, the second run has nothing to do, and what belongs to one store only
 * stays where it is. */
static void arrives_whole(void **state)
{
    (void)state;
    struct xb_store *(*const sources[])(void) = {repository_source, location_source};
    for (int i = 0; i < 2; i++) {
        struct xb_store *source = sources[i]();
        struct xb_store *target = probe_empty_store();
        struct xb_copy_result result = copy_ok(source, target, &plain);
        same_stores(source, target);
        assert_int_equal(result.location, i == 1);
        assert_int_equal(result.repositories, 1);
        assert_int_equal(result.backups, i);
        assert_int_equal(result.objects_copied, result.objects);
        assert_int_equal(result.bytes_copied, result.bytes);
        result = copy_ok(source, target, &plain);
        assert_int_equal(result.objects_copied, 0);
        assert_int_equal(result.objects_there, result.objects);
        same_stores(source, target);
        xb_store_free(source);
        xb_store_free(target);
    }
}

static struct xb_store *open_folder(const struct tree *tree, const char *name)
{
    char path[128];
    struct xb_store *store = NULL;
    const struct xb_store_open_options options = {.create = true};
    snprintf(path, sizeof path, "%s/%s", tree->path, name);
    PROBE_OK(xb_store_open(path, &options, &store, &err));
    return store;
}

/* From a bucket's names into kopia's folders and back: the bytes are the same, and a repository in
 * folders has all its blobs under kopia's paths. */
static void between_layouts(void **state)
{
    (void)state;
    struct tree tree = tree_new();
    struct xb_store *source = location_source();
    struct xb_store *folder = open_folder(&tree, "folder");
    struct xb_store *again = open_folder(&tree, "again");
    struct xb_store *bucket = probe_empty_store();
    struct xb_copy_options options = {.threads = 2};
    copy_ok(source, folder, &options);
    assert_true(has(folder, SHOP ".shards"));
    assert_true(has(folder, SHOP "kopia.repository.f"));
    assert_true(has(folder, SHOP "p/001/12233445566778899aabbccddeeff-s0123456789abcdef147.f"));
    assert_false(has(folder, SHOP PACK));
    assert_true(has(folder, BACKUP));
    copy_ok(folder, bucket, &plain);
    same_stores(source, bucket);
    copy_ok(bucket, again, &options);
    /* A repository alone is its folder. */
    struct xb_store *alone = NULL;
    struct xb_store *single = probe_empty_store();
    PROBE_OK(xb_store_prefix_open(xb_store_ref(folder), SHOP, &alone, &err));
    copy_ok(alone, single, &plain);
    struct xb_store *flat = repository_source();
    assert_int_equal(probe_count(single, ""), probe_count(flat, "") - 1);
    assert_int_equal(missing(folder, again, ""), 0);
    assert_int_equal(missing(again, folder, ""), 0);
    struct xb_store *const all[] = {source, folder, again, bucket, alone, single, flat};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        xb_store_free(all[i]);
    }
    tree_free(&tree);
}

/* Whatever a place holds must be the whole of it, or not look like it. */
static void never_half(struct xb_store *source, struct xb_store *target)
{
    if (has(target, SHOP "kopia.repository")) {
        assert_int_equal(missing(source, target, SHOP), 0);
    } else if (probe_count(target, SHOP) > 0) {
        assert_true(has(target, SHOP XB_COPY_MARK));
    }
    if (has(target, BACKUP)) {
        assert_int_equal(missing(source, target, "backups/"), 0);
        assert_int_equal(missing(source, target, SHOP), 0);
    }
}

/* Each request of each kind to the target fails once, with the answer lost or before it is done:
 * what is there is never half of a thing, and the next run completes it. */
static void interrupted_anywhere(void **state)
{
    (void)state;
    struct xb_store *source = location_source();
    size_t failures = 0;
    for (int call = 0; call < XB_FAULT_CALLS; call++) {
        for (int lost = 0; lost < 2; lost++) {
            bool failed = true;
            for (uint64_t nth = 1; failed; nth++) {
                struct xb_store *inner = probe_empty_store(), *target = NULL;
                struct xb_fault *fault = NULL;
                struct xb_copy_result result = {.objects = 0};
                struct xb_error why = XB_ERROR_INIT;
                PROBE_OK(xb_store_fault_open(xb_store_ref(inner), &target, &fault, &err));
                const struct xb_fault_rule rule = {.call = (enum xb_fault_call)call,
                                                   .effect =
                                                       lost ? XB_FAULT_LOSE_ANSWER : XB_FAULT_FAIL,
                                                   .nth = nth,
                                                   .kind = XB_ERR_RETRY};
                PROBE_OK(xb_fault_add(fault, &rule, &err));
                failed = xb_copy_run(source, target, &plain, &result, &why) < 0;
                never_half(source, inner);
                failures += failed;
                xb_fault_clear(fault);
                result = copy_ok(source, target, &plain);
                assert_true(failed || result.objects_copied == 0);
                same_stores(source, inner);
                xb_store_free(target);
                xb_store_free(inner);
            }
        }
    }
    print_message("%zu interruptions\n", failures);
    assert_true(failures > 80);
    xb_store_free(source);
}

/* A target where a bit of the object changes in the reads first..last. */
static struct xb_store *flipping_target(const char *name, uint64_t first, uint64_t last,
                                        struct xb_fault **ret_fault)
{
    struct xb_store *target = NULL;
    PROBE_OK(xb_store_fault_open(probe_empty_store(), &target, ret_fault, &err));
    for (; first <= last; first++) {
        const struct xb_fault_rule rule = {.call = XB_FAULT_GET,
                                           .effect = XB_FAULT_FLIP,
                                           .nth = first,
                                           .name_prefix = name,
                                           .amount = 77777};
        PROBE_OK(xb_fault_add(*ret_fault, &rule, &err));
    }
    return target;
}

/* A bit that changes on its way is noticed, and the object does not stay: the next run would take
 * it for whole. What comes back wrong only once is whole. */
static void altered_on_arrival(void **state)
{
    (void)state;
    struct xb_store *source = location_source();
    static const char *const names[] = {SHOP PACK, SHOP INDEX, SHOP LARGE_PACK,
                                        SHOP "kopia.repository", BACKUP};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        /* Two reads look for a repository before it is there. */
        uint64_t first = strstr(names[i], "kopia.repository") ? 3 : 1;
        struct xb_fault *fault = NULL;
        struct xb_store *target = flipping_target(names[i], first, first, &fault);
        copy_ok(source, target, &plain);
        xb_store_free(target);
        target = flipping_target(names[i], first, first + 5, &fault);
        copy_refused(source, target, XB_ERR_IO, names[i]);
        assert_false(has(target, names[i]));
        xb_fault_clear(fault);
        copy_ok(source, target, &plain);
        same_stores(source, target);
        xb_store_free(target);
    }
    xb_store_free(source);
}

/* What the target has otherwise is named and nothing is done; --overwrite replaces it. */
static void conflicts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text; /* NULL: of the same size */
        bool only_compared;
    } cases[] = {{BACKUP, "[]", false},
                 {"backups/first/first.tar.gz", "longer items", false},
                 {SHOP "kopia.blobcfg", "other", false},
                 {SHOP PACK, "cut", false},
                 {SHOP PACK, "P00112233445566778899aabbccddeeff-s0123456789abcdef147", true}};
    struct xb_store *source = location_source();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct xb_store *target = probe_empty_store();
        struct xb_copy_options options = plain;
        copy_ok(source, target, &options);
        probe_put(target, cases[i].name, cases[i].text);
        PROBE_OK(xb_store_delete(target, "metadata/revision", &err));
        struct xb_copy_result result;
        if (cases[i].only_compared) {
            options.dry_run = true;
            result = copy_ok(source, target, &options);
            assert_int_equal(result.conflicts.total, 0);
            options.dry_run = false;
            options.compare = true;
        }
        result = copy_ok(source, target, &options);
        assert_int_equal(result.conflicts.total, 1);
        assert_string_equal(result.conflicts.texts[0], cases[i].name);
        assert_false(has(target, "metadata/revision"));
        xb_copy_result_free(&result);
        options.overwrite = true;
        result = copy_ok(source, target, &options);
        assert_int_equal(result.conflicts.total, 0);
        assert_int_equal(result.objects_copied, 2);
        same_stores(source, target);
        xb_store_free(target);
    }
    xb_store_free(source);
}

/* A repository comes only into an empty place, or to itself. */
static void other_places(void **state)
{
    (void)state;
    struct xb_store *source = repository_source();
    struct xb_store *used = probe_empty_store();
    probe_put(used, "holiday.jpg", "x");
    copy_refused(source, used, XB_ERR_CONFLICT, "holiday.jpg");
    struct xb_store *other = probe_create(NULL);
    copy_refused(source, other, XB_ERR_CONFLICT, "another repository");
    struct xb_store *begun = probe_empty_store();
    probe_put(begun, XB_COPY_MARK, "{\"uniqueID\":\"00112233445566778899aabbccddeeff\"}");
    copy_refused(source, begun, XB_ERR_CONFLICT, "unfinished copy");
    copy_refused(used, begun, XB_ERR_INVALID, "no store of backups");
    struct xb_store *location = location_source();
    copy_refused(location, other, XB_ERR_CONFLICT, "repository itself");
    probe_put(location, "holidays/1.jpg", "x");
    copy_refused(location, begun, XB_ERR_INVALID, "holidays");
    struct xb_store *folders = repository_source();
    probe_put(begun, ".shards", "{\"default\":[1,3],\"maxNonShardedLength\":20}\n");
    copy_refused(source, begun, XB_ERR_INVALID, "flat");
    struct xb_store *const all[] = {source, used, other, begun, location, folders};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        xb_store_free(all[i]);
    }
}

/* A dry run counts what a run would do, and writes nothing; the target need not be there. */
static void dry_run(void **state)
{
    (void)state;
    struct xb_store *source = location_source();
    struct xb_copy_options options = plain;
    options.dry_run = true;
    struct xb_copy_result dry = copy_ok(source, NULL, &options);
    struct xb_store *target = probe_empty_store();
    copy_ok(source, target, &options);
    assert_int_equal(probe_count(target, ""), 0);
    struct xb_copy_result wet = copy_ok(source, target, &plain);
    assert_int_equal(dry.objects_copied, wet.objects_copied);
    assert_int_equal(dry.bytes_copied, wet.bytes_copied);
    assert_true(dry.bytes_copied > LARGE_BYTES);
    xb_store_free(source);
    xb_store_free(target);
}

/* ---- a source that changes ---- */

static void index_meanwhile(struct hooks *hooks, enum hook_call call, const char *name,
                            struct xb_store *inner)
{
    (void)hooks;
    static unsigned packs;
    /* At each listing of packs one more backup has just ended. */
    if (call == HOOK_LIST && strcmp(name, SHOP "q") == 0) {
        char text[128];
        snprintf(text, sizeof text, SHOP "pmore%u-s0123456789abcdef147", ++packs);
        probe_put(inner, text, "more");
        snprintf(text, sizeof text, SHOP "xn0_more%u-s0123456789abcdef147-c1", packs);
        probe_put(inner, text, "names pmore");
        snprintf(text, sizeof text, "backups/more%u/velero-backup.json", packs);
        probe_put(inner, text, "{}");
    }
}

/* What names others is listed first: a name that is copied always has what it names. */
static void names_have_what_they_name(void **state)
{
    (void)state;
    struct hooks hooks = {.before = index_meanwhile};
    struct xb_store *source = hook_store_open(location_source(), &hooks);
    struct xb_store *target = probe_empty_store();
    copy_ok(source, target, &plain);
    /* Of the second pass: the pack of the first backup and its index; of the second backup nothing
     * that names anything. */
    assert_true(has(target, SHOP "pmore1-s0123456789abcdef147"));
    assert_true(has(target, SHOP "xn0_more1-s0123456789abcdef147-c1"));
    assert_true(has(target, "backups/more1/velero-backup.json"));
    assert_false(has(target, SHOP "xn0_more2-s0123456789abcdef147-c1"));
    assert_false(has(target, "backups/more2/velero-backup.json"));
    xb_store_free(source);
    xb_store_free(target);
}

static void vanish(struct hooks *hooks, enum hook_call call, const char *name,
                   struct xb_store *inner)
{
    const char *victim = hooks->context;
    if (call == HOOK_GET && victim && strcmp(name, SHOP "zprivate") != 0 &&
        strncmp(name, SHOP "q", strlen(SHOP) + 1) == 0) {
        hooks->context = NULL;
        PROBE_OK(xb_store_delete(inner, victim, &err));
        probe_put(inner, SHOP "xs0_00112233445566778899aabbccddeeff-s0123456789abcdef-c1", "xs");
    }
}

/* Maintenance replaces an index while it is copied: the copy has what replaced it. A log that ends
 * is missed by nobody. */
static void replaced_while_copied(void **state)
{
    (void)state;
    static const char *const victims[] = {SHOP INDEX,
                                          SHOP "_log_20261125000000_ab12_1_2_1_0123456789abcdef"};
    for (size_t i = 0; i < 2; i++) {
        char victim[200];
        snprintf(victim, sizeof victim, "%s", victims[i]);
        struct hooks hooks = {.before = vanish, .context = victim};
        struct xb_store *source = hook_store_open(location_source(), &hooks);
        struct xb_store *target = probe_empty_store();
        copy_ok(source, target, &plain);
        assert_null(hooks.context);
        if (i == 0) {
            same_stores(source, target);
        } else {
            assert_true(has(target, SHOP "kopia.repository"));
        }
        xb_store_free(source);
        xb_store_free(target);
    }
}

static void vanish_always(struct hooks *hooks, enum hook_call call, const char *name,
                          struct xb_store *inner)
{
    (void)hooks;
    if (call == HOOK_GET && strncmp(name, SHOP "p0", strlen(SHOP) + 2) == 0) {
        PROBE_OK(xb_store_delete(inner, name, &err));
    } else if (call == HOOK_LIST && strcmp(name, SHOP "p") == 0) {
        probe_put(inner, SHOP PACK, PACK);
    } else if (call == HOOK_GET && strstr(name, "first-logs")) {
        PROBE_OK(xb_store_delete(inner, name, &err));
    }
}

/* A source that never stands still is told; the copy is not taken for whole. */
static void never_still(void **state)
{
    (void)state;
    struct hooks hooks = {.before = vanish_always};
    struct xb_store *source = hook_store_open(location_source(), &hooks);
    struct xb_store *target = probe_empty_store();
    copy_refused(source, target, XB_ERR_RETRY, "maintenance");
    assert_false(has(target, SHOP "kopia.repository"));
    hooks.before = NULL;
    probe_put(source, SHOP PACK, PACK);
    copy_ok(source, target, &plain);
    /* A backup that is being deleted. */
    PROBE_OK(xb_store_delete(target, "backups/first/first-logs.gz", &err));
    PROBE_OK(xb_store_delete(target, BACKUP, &err));
    hooks.before = vanish_always;
    copy_refused(source, target, XB_ERR_RETRY, "deleted");
    assert_false(has(target, BACKUP));
    xb_store_free(source);
    xb_store_free(target);
}

/* Half a repository is not copied, and named; the rest is. */
static void rest_of_a_repository(void **state)
{
    (void)state;
    struct xb_store *source = location_source();
    struct xb_store *target = probe_empty_store();
    probe_put(source, "kopia/half/" PACK, "x");
    struct xb_copy_result result = copy_ok(source, target, &plain);
    assert_int_equal(result.warnings.total, 1);
    assert_non_null(strstr(result.warnings.texts[0], "kopia/half/"));
    xb_copy_result_free(&result);
    PROBE_OK(xb_store_delete(source, "kopia/half/" PACK, &err));
    same_stores(source, target);
    xb_store_free(source);
    xb_store_free(target);
}

static void tick(void *context, const struct xb_copy_progress *progress)
{
    atomic_store((atomic_bool *)context, true);
    assert_true(progress->bytes_done <= progress->bytes_total);
}

/* A copy that is told to stop does so, and goes on the next time. */
static void cancelled(void **state)
{
    (void)state;
    struct xb_store *source = location_source();
    struct xb_store *target = probe_empty_store();
    atomic_bool stop;
    atomic_init(&stop, false);
    struct xb_copy_result result;
    struct xb_copy_options options = {
        .threads = 1, .flat = true, .cancel = &stop, .progress = tick, .progress_context = &stop};
    PROBE_REFUSED(xb_copy_run(source, target, &options, &result, &err), XB_ERR_CANCELLED, NULL);
    never_half(source, target);
    copy_ok(source, target, &plain);
    same_stores(source, target);
    xb_store_free(source);
    xb_store_free(target);
}

/* Neither side may hold the other, by whatever name. */
static void apart(void **state)
{
    (void)state;
    struct tree tree = tree_new();
    char base[128], link[192], text[6][256];
    snprintf(base, sizeof base, "%s/store", tree.path);
    snprintf(link, sizeof link, "%s/link", tree.path);
    tree_folder(&tree, "store", 0700);
    tree_folder(&tree, "store/kopia", 0700);
    assert_int_equal(symlink(base, link), 0);
    static const char *const inside[] = {"file://%s", "%s/", "%s/kopia", "%s/new", "%s/kopia/new"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        snprintf(text[0], sizeof text[0], "%s%s%s", strncmp(inside[i], "file", 4) ? "" : "file://",
                 link, strrchr(inside[i], 's') + 1);
        PROBE_REFUSED(xb_copy_check_apart(base, text[0], &err), XB_ERR_INVALID, "within");
        PROBE_REFUSED(xb_copy_check_apart(text[0], base, &err), XB_ERR_INVALID, "within");
    }
    snprintf(text[1], sizeof text[1], "%s/store2", tree.path);
    PROBE_OK(xb_copy_check_apart(base, text[1], &err));
    PROBE_OK(xb_copy_check_apart(base, "s3://bucket/prefix", &err));
    PROBE_OK(xb_copy_check_apart("s3://bucket/a", "s3://bucket/ab", &err));
    PROBE_OK(
        xb_copy_check_apart("s3://b?endpoint=https://one", "s3://b?endpoint=https://two", &err));
    PROBE_REFUSED(xb_copy_check_apart("s3://b/a/", "s3://b/a", &err), XB_ERR_INVALID, NULL);
    PROBE_REFUSED(xb_copy_check_apart("s3://b/?region=x&endpoint=https://one",
                                      "s3://b/a?endpoint=https://one&region=y", &err),
                  XB_ERR_INVALID, NULL);
    PROBE_REFUSED(xb_copy_check_apart("/", base, &err), XB_ERR_INVALID, NULL);
    tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrives_whole),
        cmocka_unit_test(between_layouts),
        cmocka_unit_test(interrupted_anywhere),
        cmocka_unit_test(altered_on_arrival),
        cmocka_unit_test(conflicts),
        cmocka_unit_test(other_places),
        cmocka_unit_test(dry_run),
        cmocka_unit_test(names_have_what_they_name),
        cmocka_unit_test(replaced_while_copied),
        cmocka_unit_test(never_still),
        cmocka_unit_test(rest_of_a_repository),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(apart),
    };
    return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
