/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that does what its rules say: each call asks them for a verdict, then goes on to the
 * inner store, or does not.
 */
#include "shared/store/fault/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/store/driver.h"

enum { LISTING_ITEMS_MAX = 1000000 };

/* A listing as it once was; shared between a rule and the calls that are using it. */
struct listing {
    atomic_int references;
    struct xb_store_item *items; /* names owned */
    size_t count, cap;
};

struct rule {
    struct xb_fault_rule rule; /* name_prefix owned */
    uint64_t seen;
    struct listing *listing; /* STALE */
};

struct xb_fault {
    pthread_mutex_t lock;
    struct rule rules[XB_FAULT_RULES_MAX];
    size_t count;
    uint64_t calls[XB_FAULT_CALLS];
    struct xb_store *inner; /* for what a listing is now */
};

struct fault_store {
    struct xb_store base;
    struct xb_fault fault;
};

struct fault_upload {
    struct xb_store_upload base;
    struct xb_store_upload *inner;
};

/* What is to happen to one call. */
struct verdict {
    bool broken;
    enum xb_fault_effect effect;
    enum xb_error_kind kind;
    uint64_t amount;
    struct listing *listing; /* a reference */
};

static void listing_unref(struct listing *listing)
{
    if (!listing || atomic_fetch_sub(&listing->references, 1) > 1) {
        return;
    }
    for (size_t i = 0; i < listing->count; i++) {
        union {
            const char *in;
            char *out;
        } name = {.in = listing->items[i].name}; /* ours, const only for its readers */
        free(name.out);
    }
    free(listing->items);
    free(listing);
}

static void listing_unrefp(struct listing **listing)
{
    listing_unref(*listing);
}

static int remember(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct listing *listing = context;
    if (listing->count == LISTING_ITEMS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d objects to remember",
                            LISTING_ITEMS_MAX);
    }
    if (listing->count == listing->cap) {
        size_t cap = listing->cap ? listing->cap * 2 : 64;
        struct xb_store_item *grown = reallocarray(listing->items, cap, sizeof *grown);
        if (!grown) {
            return xb_error_no_memory(err, "a listing");
        }
        listing->items = grown;
        listing->cap = cap;
    }
    char *name = strdup(item->name);
    if (!name) {
        return xb_error_no_memory(err, "a listing");
    }
    listing->items[listing->count++] = (struct xb_store_item){name, item->size, item->mtime_ns};
    return 0;
}

static int check_rule(const struct xb_fault_rule *rule, struct xb_error *err)
{
    bool answers = rule->effect == XB_FAULT_FAIL || rule->effect == XB_FAULT_LOSE_ANSWER;
    bool reads = rule->effect == XB_FAULT_CUT || rule->effect == XB_FAULT_FLIP;
    bool good = (unsigned)rule->call < XB_FAULT_CALLS && (unsigned)rule->effect <= XB_FAULT_DELAY &&
                (!answers || rule->kind != XB_ERR_NONE) && (!reads || rule->call == XB_FAULT_GET) &&
                (rule->effect != XB_FAULT_STALE || rule->call == XB_FAULT_LIST);
    return good ? 0
                : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                               "a fault rule without sense: call %d, effect %d, kind %d",
                               (int)rule->call, (int)rule->effect, (int)rule->kind);
}

int xb_fault_add(struct xb_fault *fault, const struct xb_fault_rule *rule, struct xb_error *err)
{
    XB_CLEANUP(listing_unrefp) struct listing *listing = NULL;
    XB_CLEANUP(xb_freep) char *prefix = NULL;
    int r = check_rule(rule, err);
    if (r < 0) {
        return r;
    }
    if (rule->effect == XB_FAULT_STALE) {
        listing = calloc(1, sizeof *listing);
        if (!listing) {
            return xb_error_no_memory(err, "a listing");
        }
        atomic_init(&listing->references, 1);
        if ((r = xb_store_list(fault->inner, "", remember, listing, err)) < 0) {
            return r;
        }
    }
    prefix = rule->name_prefix ? strdup(rule->name_prefix) : NULL;
    if (rule->name_prefix && !prefix) {
        return xb_error_no_memory(err, "a fault rule");
    }
    pthread_mutex_lock(&fault->lock);
    if (fault->count < XB_FAULT_RULES_MAX) {
        struct rule *added = &fault->rules[fault->count++];
        *added = (struct rule){.rule = *rule, .listing = XB_TAKE(listing)};
        added->rule.name_prefix = XB_TAKE(prefix);
    } else {
        r = xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d fault rules", XB_FAULT_RULES_MAX);
    }
    pthread_mutex_unlock(&fault->lock);
    return r;
}

void xb_fault_clear(struct xb_fault *fault)
{
    pthread_mutex_lock(&fault->lock);
    for (size_t i = 0; i < fault->count; i++) {
        union {
            const char *in;
            char *out;
        } prefix = {.in = fault->rules[i].rule.name_prefix}; /* our copy */
        free(prefix.out);
        listing_unref(fault->rules[i].listing);
    }
    fault->count = 0;
    pthread_mutex_unlock(&fault->lock);
}

uint64_t xb_fault_count(struct xb_fault *fault, enum xb_fault_call call)
{
    pthread_mutex_lock(&fault->lock);
    uint64_t count = fault->calls[call];
    pthread_mutex_unlock(&fault->lock);
    return count;
}

static void wait_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000) * (long)XB_NS_PER_MS};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

/* Counts the call, waits if it is to be slow, and says what else befalls it. The first rule that
 * breaks the call decides; all of them count it. */
static struct verdict judge(struct xb_fault *fault, enum xb_fault_call call, const char *name)
{
    struct verdict verdict = {.broken = false};
    uint64_t delay_ms = 0;
    pthread_mutex_lock(&fault->lock);
    fault->calls[call]++;
    for (size_t i = 0; i < fault->count; i++) {
        struct rule *at = &fault->rules[i];
        const char *prefix = at->rule.name_prefix;
        if (at->rule.call != call || (prefix && strncmp(name, prefix, strlen(prefix)) != 0)) {
            continue;
        }
        at->seen++;
        if (at->rule.nth != 0 && at->seen != at->rule.nth) {
            continue;
        }
        if (at->rule.effect == XB_FAULT_DELAY) {
            delay_ms += at->rule.amount;
        } else if (!verdict.broken) {
            verdict = (struct verdict){.broken = true,
                                       .effect = at->rule.effect,
                                       .kind = at->rule.kind,
                                       .amount = at->rule.amount,
                                       .listing = at->listing};
            if (verdict.listing) {
                atomic_fetch_add(&verdict.listing->references, 1);
            }
        }
    }
    pthread_mutex_unlock(&fault->lock);
    wait_ms(delay_ms);
    return verdict;
}

static int code_of(enum xb_error_kind kind)
{
    static const int codes[] = {
        [XB_ERR_NONE] = -EIO,
        [XB_ERR_RETRY] = -EAGAIN,
        [XB_ERR_DENIED] = -EACCES,
        [XB_ERR_NOT_FOUND] = -ENOENT,
        [XB_ERR_CONFLICT] = -EEXIST,
        [XB_ERR_CORRUPT] = -EBADMSG,
        [XB_ERR_CANCELLED] = -ECANCELED,
        [XB_ERR_INVALID] = -EINVAL,
        [XB_ERR_FULL] = -ENOSPC,
        [XB_ERR_IO] = -EIO,
        [XB_ERR_BUG] = -EIO,
    };
    return (size_t)kind < sizeof codes / sizeof *codes ? codes[kind] : -EIO;
}

static int break_it(const struct fault_store *self, const struct verdict *verdict, const char *name,
                    struct xb_error *err)
{
    return xb_error_set(err, verdict->kind, code_of(verdict->kind), "%s: %s: made to fail",
                        self->base.description, name);
}

static bool fails(const struct verdict *verdict)
{
    return verdict->broken && verdict->effect == XB_FAULT_FAIL;
}

/* The end of a call that was done with result r. */
static int answer(const struct fault_store *self, const struct verdict *verdict, const char *name,
                  int r, struct xb_error *err)
{
    bool lost = verdict->broken && verdict->effect == XB_FAULT_LOSE_ANSWER;
    return r == 0 && lost ? break_it(self, verdict, name, err) : r;
}

static int fault_begin(struct xb_store *store, const char *name,
                       const struct xb_store_put_options *options, struct xb_store_upload **ret,
                       struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_BEGIN, name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, name, err);
    }
    XB_CLEANUP(xb_freep) struct fault_upload *upload = calloc(1, sizeof *upload);
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    int r = xb_store_upload_begin(self->fault.inner, name, options, &upload->inner, err);
    if (r < 0) {
        return r;
    }
    if ((r = answer(self, &verdict, name, 0, err)) < 0) {
        xb_store_upload_free(upload->inner);
        return r;
    }
    struct fault_upload *made = XB_TAKE(upload);
    *ret = &made->base;
    return 0;
}

static int fault_write(struct xb_store_upload *base, const void *data, size_t len,
                       struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)base->store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_WRITE, base->name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, base->name, err);
    }
    int r = xb_store_upload_write(((struct fault_upload *)base)->inner, data, len, err);
    return answer(self, &verdict, base->name, r, err);
}

static int fault_commit(struct xb_store_upload *base, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)base->store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_COMMIT, base->name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, base->name, err);
    }
    int r = xb_store_upload_commit(((struct fault_upload *)base)->inner, err);
    return answer(self, &verdict, base->name, r, err);
}

static void fault_upload_free(struct xb_store_upload *upload)
{
    xb_store_upload_free(((struct fault_upload *)upload)->inner);
    free(upload);
}

static int fault_put(struct xb_store *store, const char *name, const void *data, size_t len,
                     const struct xb_store_put_options *options, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_PUT, name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, name, err);
    }
    int r = xb_store_put(self->fault.inner, name, data, len, options, err);
    return answer(self, &verdict, name, r, err);
}

static int fault_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
                     struct xb_buf *out, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_GET, name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, name, err);
    }
    size_t before = out->len;
    int r = xb_store_get(self->fault.inner, name, offset, len, out, err);
    if (r < 0 || !verdict.broken) {
        return r;
    }
    size_t got = out->len - before;
    if (verdict.effect == XB_FAULT_FLIP && got > 0) {
        uint64_t bit = verdict.amount % (8 * (uint64_t)got);
        out->data[before + bit / 8] = (char)(out->data[before + bit / 8] ^ (1 << bit % 8));
        return 0;
    }
    if (verdict.effect == XB_FAULT_CUT) {
        out->len -= verdict.amount < got ? (size_t)verdict.amount : got;
    } else if (verdict.effect == XB_FAULT_LOSE_ANSWER) {
        out->len = before;
    }
    if (out->data) {
        out->data[out->len] = '\0';
    }
    return answer(self, &verdict, name, 0, err);
}

static int fault_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
                      struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_STAT, name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, name, err);
    }
    int r = xb_store_stat(self->fault.inner, name, ret, err);
    return answer(self, &verdict, name, r, err);
}

static int fault_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_DELETE, name);
    if (fails(&verdict)) {
        return break_it(self, &verdict, name, err);
    }
    int r = xb_store_delete(self->fault.inner, name, err);
    return answer(self, &verdict, name, r, err);
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int list_stale(const struct listing *listing, const char *prefix, xb_store_item_fn *fn,
                      void *context, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < listing->count && r == 0; i++) {
        if (starts_with(listing->items[i].name, prefix)) {
            r = fn(context, &listing->items[i], err);
        }
    }
    return r;
}

static int fault_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                      void *context, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_LIST, prefix);
    XB_CLEANUP(listing_unrefp) struct listing *listing = verdict.listing;
    if (fails(&verdict)) {
        return break_it(self, &verdict, prefix, err);
    }
    int r = listing ? list_stale(listing, prefix, fn, context, err)
                    : xb_store_list(self->fault.inner, prefix, fn, context, err);
    return answer(self, &verdict, prefix, r, err);
}

/* The length of the folder's name that item i has behind the prefix, or 0. */
static size_t folder_of(const struct listing *listing, size_t i, const char *prefix)
{
    const char *name = listing->items[i].name;
    const char *slash = starts_with(name, prefix) ? strchr(name + strlen(prefix), '/') : NULL;
    return slash ? (size_t)(slash - name) - strlen(prefix) : 0;
}

static int list_folders_stale(const struct listing *listing, const char *prefix,
                              xb_store_item_fn *fn, void *context, struct xb_error *err)
{
    char folder[XB_STORE_NAME_BYTES_MAX + 1];
    size_t skip = strlen(prefix);
    for (size_t i = 0; i < listing->count; i++) {
        size_t len = folder_of(listing, i, prefix);
        const char *name = listing->items[i].name + skip;
        bool known = len == 0;
        for (size_t k = 0; k < i && !known; k++) {
            known = folder_of(listing, k, prefix) == len &&
                    memcmp(listing->items[k].name + skip, name, len) == 0;
        }
        if (known) {
            continue;
        }
        memcpy(folder, name, len);
        folder[len] = '\0';
        struct xb_store_item item = {.name = folder};
        int r = fn(context, &item, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int fault_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                              void *context, struct xb_error *err)
{
    struct fault_store *self = (struct fault_store *)store;
    struct verdict verdict = judge(&self->fault, XB_FAULT_LIST, prefix);
    XB_CLEANUP(listing_unrefp) struct listing *listing = verdict.listing;
    if (fails(&verdict)) {
        return break_it(self, &verdict, prefix, err);
    }
    int r = listing ? list_folders_stale(listing, prefix, fn, context, err)
                    : xb_store_list_folders(self->fault.inner, prefix, fn, context, err);
    return answer(self, &verdict, prefix, r, err);
}

static void fault_close(struct xb_store *store)
{
    struct fault_store *self = (struct fault_store *)store;
    xb_fault_clear(&self->fault);
    xb_store_free(self->fault.inner);
    pthread_mutex_destroy(&self->fault.lock);
    free(self);
}

static const struct xb_store_driver fault_driver = {
    .decorator = true,
    .begin = fault_begin,
    .write = fault_write,
    .commit = fault_commit,
    .upload_free = fault_upload_free,
    .put = fault_put,
    .get = fault_get,
    .stat = fault_stat,
    .remove = fault_remove,
    .list = fault_list,
    .list_folders = fault_list_folders,
    .close = fault_close,
};

int xb_store_fault_open(struct xb_store *inner, struct xb_store **ret, struct xb_fault **ret_fault,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *owned = inner;
    XB_CLEANUP(xb_freep) struct fault_store *self = calloc(1, sizeof *self);
    if (!self) {
        return xb_error_no_memory(err, "a store");
    }
    int r = xb_store_setup(&self->base, &fault_driver, owned->read_only, owned->description, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_init(&self->fault.lock, NULL);
    self->base.bucket = owned->bucket;
    self->fault.inner = XB_TAKE(owned);
    struct fault_store *made = XB_TAKE(self);
    *ret = &made->base;
    *ret_fault = &made->fault;
    return 0;
}
