/* SPDX-License-Identifier: Apache-2.0
 *
 * Three writers and a maintenance in one repository at once, over many seeds: whatever is published
 * stays whole. The actors are threads. In most worlds only one of them runs at a time, and at every
 * request to the store the seed says who goes on, so that a run can be repeated; in the others they
 * run freely, for the thread sanitizer.
 */
#include "tests/harness/repository_probe.h"

#include <inttypes.h>

#include "tests/harness/fake_clock.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/maintenance.h"
#include "tests/harness/property.h"

enum {
    WRITERS = 3,
    ACTORS = WRITERS + 1, /* the last one is maintenance */
    BACKUPS = 4,          /* of each writer */
    ITEMS_MAX = 6,        /* contents of a backup */
    POOL = 10,            /* texts that everybody writes */
    STEPS = 60,           /* of maintenance */
    EPOCHS_MAX = 64,
    RANGE_EPOCHS = 3,
    WATCHED_MAX = 400,
    TURN_WORLDS = 40,
    FREE_WORLDS = 15,
    HOUR_S = 3600
};

#define MANIFEST "a snapshot of"

struct world;

struct actor {
    struct world *world;
    int number;
    pthread_t thread;
    struct property random;
    struct hooks hooks;
    struct xb_store *store;
    struct xb_content_id published[BACKUPS];
    int published_count, refused;
};

/* A pack that no index named when it was first seen so. */
struct watched {
    char name[XB_PACK_NAME_BYTES];
    int64_t since_s;
};

struct world {
    struct xb_store *base;
    const struct xb_format_keys *keys;
    struct fake_clock ticks;
    struct actor actors[ACTORS];
    bool in_turns;

    pthread_mutex_t lock; /* guards the turn */
    pthread_cond_t changed;
    struct property order;
    int running, burst; /* who, and for how many requests more */
    bool alive[ACTORS];

    /* Maintenance's own memory. */
    int64_t gc_start_s, gc_end_s, gc_before_start_s, gc_before_end_s, watermark_s;
    int64_t compacted_s[EPOCHS_MAX];
    long range_end; /* the first epoch behind the ranges */
    struct watched watched[WATCHED_MAX];
    int watched_count;
};

/* ---- turns ---- */

/* Maintenance often gets far while a backup stands still. */
static int pick(struct world *world)
{
    if (world->burst > 0 && world->alive[world->running]) {
        world->burst--;
        return world->running;
    }
    int living[ACTORS];
    int count = 0;
    for (int i = 0; i < ACTORS; i++) {
        if (world->alive[i]) {
            living[count++] = i;
        }
    }
    int next = count ? living[property_below(&world->order, (uint64_t)count)] : 0;
    world->burst = (int)property_below(&world->order, next == WRITERS ? 200 : 8);
    return next;
}

static void await_turn(struct actor *actor)
{
    struct world *world = actor->world;
    while (world->in_turns && world->running != actor->number) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
}

/* Somebody goes on, maybe another one; comes back when it is this one's turn again. */
static void yield_turn(struct actor *actor, bool over)
{
    struct world *world = actor->world;
    pthread_mutex_lock(&world->lock);
    world->alive[actor->number] = !over;
    world->running = pick(world);
    pthread_cond_broadcast(&world->changed);
    if (!over) {
        await_turn(actor);
    }
    pthread_mutex_unlock(&world->lock);
}

/* What changes the store is done at once, and its answer may take long: a driver gives up a request
 * after minutes, so that days cannot go by between a decision and what it leads to. */
static bool changes(enum hook_call call)
{
    return call == HOOK_PUT || call == HOOK_COMMIT || call == HOOK_DELETE;
}

static void before_request(struct hooks *hooks, enum hook_call call, const char *name,
                           struct xb_store *inner)
{
    (void)name;
    (void)inner;
    struct actor *actor = hooks->context;
    if (actor->world->in_turns && !changes(call)) {
        yield_turn(actor, false);
    }
}

/* The store's clock goes as the world's: what was just put was put now. */
static void after_request(struct hooks *hooks, enum hook_call call, const char *name,
                          struct xb_store *inner)
{
    (void)inner;
    struct actor *actor = hooks->context;
    if (call == HOOK_PUT && name[0] == 's') {
        hooks->mtime_shift_ns = fake_wall_ns(&actor->world->ticks) - xb_clock_wall_ns();
    }
    if (actor->world->in_turns && changes(call)) {
        yield_turn(actor, false);
    }
}

static struct xb_repository *open_as(struct actor *actor)
{
    struct xb_repository *repository = NULL;
    const struct xb_repository_open_options options = {.clock = &actor->world->ticks.clock};
    PROBE_OK(xb_repository_open_with(xb_store_ref(actor->store), actor->world->keys, &options,
                                     &repository, &err));
    return repository;
}

static int64_t now_s(struct world *world)
{
    return fake_wall_ns(&world->ticks) / XB_NS_PER_S;
}

/* ---- writers ---- */

static void item_text(struct actor *actor, int backup, char out[40])
{
    if (property_once_in(&actor->random, 3)) {
        snprintf(out, 40, "%d of backup %d of writer %d",
                 (int)property_below(&actor->random, ITEMS_MAX), backup, actor->number);
    } else {
        snprintf(out, 40, "everybody's %d", (int)property_below(&actor->random, POOL));
    }
}

static bool give_up(const struct xb_error *err)
{
    /* Bytes gone, an upgrade's worth of time gone by, an epoch that never rests: start again. */
    if (err->kind != XB_ERR_CONFLICT && err->kind != XB_ERR_RETRY) {
        print_error("a writer: %s: %s\n", xb_error_kind_name(err->kind), err->text);
        abort();
    }
    return true;
}

/* One backup; false if it must be started again. */
static bool back_up(struct actor *actor, int backup)
{
    struct xb_error why = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_as(actor);
    XB_CLEANUP(xb_buf_free) struct xb_buf manifest = XB_BUF_INIT(10000);
    struct xb_content_write_result result;
    int items = 1 + (int)property_below(&actor->random, ITEMS_MAX);
    PROBE_OK(xb_buf_printf(&manifest, &err, MANIFEST " writer %d, %d:", actor->number, backup));
    for (int i = 0; i < items; i++) {
        char text[40];
        char id[XB_CONTENT_ID_TEXT_BYTES];
        item_text(actor, backup, text);
        PROBE_OK(xb_content_identify(repository, 0, text, strlen(text), &result.id, &err));
        /* As an incremental backup does, or as one that has read the file. */
        if (!(property_once_in(&actor->random, 2) && xb_content_reuse(repository, &result.id)) &&
            xb_content_write(repository, 0, text, strlen(text), XB_COMPRESSION_NONE, &result,
                             &why) < 0) {
            return !give_up(&why);
        }
        xb_content_id_format(&result.id, id);
        PROBE_OK(xb_buf_printf(&manifest, &err, " %s", id));
        if (property_once_in(&actor->random, 5) && xb_repository_flush(repository, &why) < 0) {
            return !give_up(&why);
        }
    }
    if (xb_content_write(repository, 'm', manifest.data, manifest.len, XB_COMPRESSION_NONE, &result,
                         &why) < 0 ||
        xb_repository_flush(repository, &why) < 0) {
        return !give_up(&why);
    }
    actor->published[actor->published_count++] = result.id;
    return true;
}

static void *write_backups(void *context)
{
    struct actor *actor = context;
    pthread_mutex_lock(&actor->world->lock);
    await_turn(actor);
    pthread_mutex_unlock(&actor->world->lock);
    for (int i = 0; i < BACKUPS; i++) {
        for (int try = 0; try < 3 && !back_up(actor, i); try++) {
            actor->refused++;
        }
    }
    yield_turn(actor, true);
    return NULL;
}

/* ---- maintenance ---- */

struct references {
    struct xb_repository *repository;
    char *text; /* all manifests in a row */
    size_t len;
    struct xb_content_info infos[2000];
    size_t count;
};

static int collect_info(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct references *all = context;
    (void)err;
    assert_true(all->count < 2000);
    all->infos[all->count++] = *info;
    return 0;
}

static void collect_manifests(struct references *all)
{
    for (size_t i = 0; i < all->count; i++) {
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
        if (all->infos[i].id.prefix != 'm' || all->infos[i].deleted) {
            continue;
        }
        PROBE_OK(xb_content_read(all->repository, &all->infos[i].id, true, &text, &err));
        if (text.len > strlen(MANIFEST) && memcmp(text.data, MANIFEST, strlen(MANIFEST)) == 0) {
            all->text = realloc(all->text, all->len + text.len + 1);
            assert_non_null(all->text);
            memcpy(all->text + all->len, text.data, text.len + 1);
            all->len += text.len;
        }
    }
}

static bool is_referenced(const struct references *all, const struct xb_content_id *id)
{
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    return all->text && strstr(all->text, text);
}

static struct references *look(struct xb_repository *repository)
{
    struct references *all = calloc(1, sizeof *all);
    assert_non_null(all);
    all->repository = repository;
    PROBE_OK(xb_content_list(repository, -1, collect_info, all, &err));
    collect_manifests(all);
    return all;
}

static void references_free(struct references *all)
{
    free(all->text);
    free(all);
}

static void write_anew(struct xb_repository *repository, const struct xb_content_info *info)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    struct xb_content_write_result result;
    PROBE_OK(xb_content_read(repository, &info->id, true, &plain, &err));
    PROBE_OK(xb_content_write(repository, info->id.prefix, plain.data ? plain.data : "", plain.len,
                              XB_COMPRESSION_NONE, &result, &err));
}

/* Referenced and deleted: undeleted. Not referenced and a day old: deleted. */
static void collect_garbage(struct actor *actor)
{
    struct world *world = actor->world;
    int64_t start_s = now_s(world);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_as(actor);
    struct references *all = look(repository);
    for (size_t i = 0; i < all->count; i++) {
        const struct xb_content_info *info = &all->infos[i];
        bool used = is_referenced(all, &info->id);
        if (info->id.prefix == 'm') {
            continue;
        }
        if (used && info->deleted) {
            write_anew(repository, info);
        } else if (!used && !info->deleted && start_s - (int64_t)info->timestamp_s >= 24 * HOUR_S) {
            PROBE_OK(xb_content_delete(repository, &info->id, &err));
        }
    }
    references_free(all);
    struct xb_error err = XB_ERROR_INIT;
    if (xb_repository_flush(repository, &err) < 0) {
        (void)give_up(&err);
        return;
    }
    world->gc_before_start_s = world->gc_start_s;
    world->gc_before_end_s = world->gc_end_s;
    world->gc_start_s = start_s;
    world->gc_end_s = now_s(world);
}

/* Of contents that were deleted before the last but one collection nothing is left, if the last one
 * began four hours after that ended. */
static void drop_deleted(struct world *world)
{
    int64_t safe_s = world->gc_before_start_s - HOUR_S;
    if (world->gc_before_start_s > 0 && world->gc_start_s - world->gc_before_end_s > 4 * HOUR_S &&
        safe_s > world->watermark_s) {
        world->watermark_s = safe_s;
        maintain_watermark(world->actors[WRITERS].store, safe_s);
    }
}

static void compact(struct actor *actor)
{
    struct world *world = actor->world;
    long write_epoch = maintain_write_epoch(actor->store);
    if (write_epoch + 1 < EPOCHS_MAX && property_once_in(&actor->random, 2)) {
        maintain_advance(actor->store);
    }
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_as(actor);
    if (write_epoch - 2 - world->range_end >= RANGE_EPOCHS &&
        maintain_compact(repository, actor->store, world->range_end, write_epoch - 2)) {
        world->range_end = write_epoch - 1;
    }
    for (long epoch = 0; epoch <= write_epoch - 2; epoch++) {
        if (world->compacted_s[epoch] == 0) {
            bool done = maintain_compact(repository, actor->store, epoch, epoch);
            world->compacted_s[epoch] = done ? now_s(world) : 0;
            return;
        }
        if (now_s(world) - world->compacted_s[epoch] > 4 * HOUR_S) {
            maintain_remove(actor->store, epoch);
        }
    }
}

static bool has_marker(struct actor *actor, const char *pack)
{
    struct probe_names markers = probe_list(actor->store, "s");
    bool found = false;
    for (size_t i = 0; i < markers.count; i++) {
        found = found || strcmp(strchr(markers.names[i], '-'), strchr(pack, '-')) == 0;
    }
    probe_names_free(&markers);
    return found;
}

/* No index named it a day ago, none does now, and no session protects it. */
static void watch_pack(struct actor *actor, const char *name)
{
    struct world *world = actor->world;
    for (int i = 0; i < world->watched_count; i++) {
        if (strcmp(world->watched[i].name, name) == 0) {
            if (now_s(world) - world->watched[i].since_s >= 24 * HOUR_S &&
                !has_marker(actor, name)) {
                PROBE_OK(xb_store_delete(actor->store, name, &err));
            }
            return;
        }
    }
    if (world->watched_count < WATCHED_MAX) {
        struct watched *watched = &world->watched[world->watched_count++];
        snprintf(watched->name, sizeof watched->name, "%s", name);
        watched->since_s = now_s(world);
    }
}

static void delete_packs(struct actor *actor)
{
    static const char *const kinds[] = {"p", "q"};
    for (size_t k = 0; k < 2; k++) {
        struct probe_names packs = probe_list(actor->store, kinds[k]);
        XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = open_as(actor);
        struct references *all = look(repository);
        for (size_t i = 0; i < packs.count; i++) {
            bool named = false;
            for (size_t c = 0; c < all->count && !named; c++) {
                named = strcmp(all->infos[c].pack, packs.names[i]) == 0;
            }
            if (!named) {
                watch_pack(actor, packs.names[i]);
            }
        }
        references_free(all);
        probe_names_free(&packs);
    }
}

static void *maintain(void *context)
{
    struct actor *actor = context;
    struct world *world = actor->world;
    pthread_mutex_lock(&world->lock);
    await_turn(actor);
    pthread_mutex_unlock(&world->lock);
    for (int i = 0; i < STEPS; i++) {
        uint64_t what = property_below(&actor->random, 8);
        if (what < 3) {
            collect_garbage(actor);
            drop_deleted(world);
        } else if (what < 4) {
            drop_deleted(world);
        } else if (what < 6) {
            compact(actor);
        } else {
            delete_packs(actor);
        }
        /* From minutes to hours; those only by turns, where no request is under way. In days a
         * session would grow too old between taking an index blob back and putting it again. */
        bool long_time = property_once_in(&actor->random, 2) && world->in_turns;
        uint64_t minutes = property_below(&actor->random, long_time ? 8 * 60 : 40);
        fake_clock_advance(&world->ticks, (int64_t)minutes * 60);
    }
    yield_turn(actor, true);
    return NULL;
}

/* ---- the world ---- */

static void begin_world(struct world *world, uint64_t seed, bool in_turns)
{
    *world = (struct world){.base = probe_repository_store(), .in_turns = in_turns};
    world->order.state = seed;
    world->keys = probe_keys(world->base);
    fake_clock_init(&world->ticks);
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    for (int i = 0; i < ACTORS; i++) {
        struct actor *actor = &world->actors[i];
        *actor = (struct actor){.world = world, .number = i};
        actor->random.state = property_next(&world->order);
        actor->hooks =
            (struct hooks){.before = before_request, .after = after_request, .context = actor};
        actor->store = hook_store_open(xb_store_ref(world->base), &actor->hooks);
        world->alive[i] = true;
    }
    /* Old contents that no snapshot names: what a writer may reuse while they are collected. */
    XB_CLEANUP(xb_repository_freep)
    struct xb_repository *repository = probe_open_at(world->base, &world->ticks.clock);
    for (int i = 0; i < POOL; i++) {
        char text[40];
        snprintf(text, sizeof text, "everybody's %d", i);
        (void)probe_write(repository, 0, text);
    }
    probe_flush(repository);
    fake_clock_advance(&world->ticks, 48 * HOUR_S);
}

static void run_world(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    world->running = pick(world);
    for (int i = 0; i < ACTORS; i++) {
        assert_int_equal(pthread_create(&world->actors[i].thread, NULL,
                                        i < WRITERS ? write_backups : maintain, &world->actors[i]),
                         0);
    }
    pthread_mutex_unlock(&world->lock);
    for (int i = 0; i < ACTORS; i++) {
        pthread_join(world->actors[i].thread, NULL);
    }
}

/* Every content that a published manifest names is there, live and whole. */
static void check_manifest(struct xb_repository *repository, const struct xb_content_id *manifest)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    PROBE_OK(xb_content_read(repository, manifest, true, &text, &err));
    const char *at = strchr(text.data, ':');
    while ((at = strchr(at, ' '))) {
        struct xb_content_id id;
        struct xb_content_info info;
        XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(10000);
        PROBE_OK(xb_content_id_parse(at + 1, strcspn(at + 1, " "), &id, &err));
        PROBE_OK(xb_content_stat(repository, &id, &info, &err));
        PROBE_OK(xb_content_read(repository, &id, true, &out, &err));
        assert_false(info.deleted);
        at++;
    }
}

/* Everything that was reported as published is there, after one more collection. */
static int check_world(struct world *world)
{
    int published = 0;
    world->in_turns = false;
    collect_garbage(&world->actors[WRITERS]);
    XB_CLEANUP(xb_repository_freep)
    struct xb_repository *repository = open_as(&world->actors[WRITERS]);
    for (int i = 0; i < WRITERS; i++) {
        struct actor *actor = &world->actors[i];
        published += actor->published_count;
        for (int k = 0; k < actor->published_count; k++) {
            check_manifest(repository, &actor->published[k]);
        }
    }
    return published;
}

static void end_world(struct world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        xb_store_free(world->actors[i].store);
    }
    pthread_mutex_destroy(&world->lock);
    pthread_cond_destroy(&world->changed);
    xb_store_free(world->base);
}

static void run_worlds(const char *name, int count, bool in_turns)
{
    struct property source = property_begin(name);
    int published = 0;
    int refused = 0;
    for (int i = 0; i < count; i++) {
        static struct world world;
        begin_world(&world, property_next(&source), in_turns);
        run_world(&world);
        published += check_world(&world);
        for (int k = 0; k < WRITERS; k++) {
            refused += world.actors[k].refused;
        }
        end_world(&world);
    }
    printf("%s: %d worlds, %d backups published, %d to be started again\n", name, count, published,
           refused);
    assert_true(published > count * WRITERS * BACKUPS / 2);
}

static void by_turns(void **state)
{
    (void)state;
    run_worlds("writers by_turns", TURN_WORLDS, true);
}

static void all_at_once(void **state)
{
    (void)state;
    run_worlds("writers all_at_once", FREE_WORLDS, false);
}

int main(void)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* what fails in a thread cannot jump back from there */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_turns),
        cmocka_unit_test(all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
