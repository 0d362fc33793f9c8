/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/events.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/fnv.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

enum { NAME_BYTES = 254, NAME_KEEP = 230, UID_BYTES = 64 };

static const struct xb_kube_resource event_resource = {"", "v1", "events", "Event", true};

struct waiting {
    struct waiting *next;
    xb_json *body;
    uint64_t same; /* of object, reason and message */
};

struct said {
    uint64_t same; /* 0: free */
    char name[NAME_BYTES], namespace[NAME_BYTES];
    int64_t count, at_ns;
};

struct speaker { /* an object, and how often it may still be spoken of */
    char uid[UID_BYTES];
    int64_t left, since_ns;
};

struct xb_kube_events {
    struct xb_kube_client *client;
    char component[64], instance[NAME_BYTES];
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock; /* the list and the counts */
    pthread_cond_t some;
    struct waiting *first, **last;
    size_t waiting;
    struct xb_kube_events_counts counts;
    struct said said[XB_KUBE_EVENTS_KNOWN_MAX]; /* these two: of the thread */
    struct speaker speakers[XB_KUBE_EVENTS_KNOWN_MAX];
};

/* ---- what is said ---- */

static void put(xb_json *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

static xb_json *involved_of(const struct xb_kube_resource *resource, xb_json *object)
{
    char version[160];
    xb_json *involved = json_object_new_object();
    snprintf(version, sizeof version, "%s%s%s", resource->group, *resource->group ? "/" : "",
             resource->version);
    put(involved, "apiVersion", version);
    put(involved, "kind", resource->kind);
    put(involved, "name", xb_json_str(object, "metadata.name", ""));
    put(involved, "namespace", xb_json_str(object, "metadata.namespace", ""));
    put(involved, "uid", xb_json_str(object, "metadata.uid", ""));
    put(involved, "resourceVersion", xb_json_str(object, "metadata.resourceVersion", ""));
    return involved;
}

static uint64_t same_of(xb_json *object, const struct xb_kube_event *event)
{
    char text[UID_BYTES + XB_KUBE_EVENT_MESSAGE_BYTES];
    snprintf(text, sizeof text, "%.60s\n%s\n%s", xb_json_str(object, "metadata.uid", ""),
             event->reason, event->message);
    uint64_t hash = xb_fnv1a(text);
    return hash ? hash : 1;
}

static xb_json *make_body(const struct xb_kube_events *events,
                          const struct xb_kube_resource *resource, xb_json *object,
                          const struct xb_kube_event *event)
{
    char name[NAME_BYTES], now[XB_TIME_TEXT_BYTES];
    char message[XB_KUBE_EVENT_MESSAGE_BYTES];
    const char *namespace = xb_json_str(object, "metadata.namespace", "");
    xb_json *body = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *source = json_object_new_object();
    snprintf(name, sizeof name, "%.*s.%016llx", NAME_KEEP, xb_json_str(object, "metadata.name", ""),
             (unsigned long long)xb_clock_wall_ns());
    snprintf(message, sizeof message, "%s", event->message);
    xb_time_format_seconds(xb_clock_wall_ns(), now);
    put(metadata, "name", name);
    put(metadata, "namespace", *namespace ? namespace : "default");
    put(source, "component", events->component);
    put(body, "apiVersion", "v1");
    put(body, "kind", "Event");
    json_object_object_add(body, "metadata", metadata);
    json_object_object_add(body, "involvedObject", involved_of(resource, object));
    put(body, "reason", event->reason);
    put(body, "message", message);
    put(body, "type", event->warning ? "Warning" : "Normal");
    json_object_object_add(body, "source", source);
    put(body, "reportingComponent", events->component);
    put(body, "reportingInstance", events->instance);
    put(body, "firstTimestamp", now);
    put(body, "lastTimestamp", now);
    json_object_object_add(body, "count", json_object_new_int64(1));
    return body;
}

void xb_kube_events_say(struct xb_kube_events *events, const struct xb_kube_resource *resource,
                        xb_json *object, const struct xb_kube_event *event)
{
    struct waiting *one = events ? calloc(1, sizeof *one) : NULL;
    if (!one) {
        return;
    }
    one->same = same_of(object, event);
    one->body = make_body(events, resource, object, event);
    pthread_mutex_lock(&events->lock);
    bool room = events->waiting < XB_KUBE_EVENTS_WAITING_MAX;
    if (room) {
        *events->last = one;
        events->last = &one->next;
        events->waiting++;
        pthread_cond_signal(&events->some);
    } else {
        events->counts.dropped++;
    }
    pthread_mutex_unlock(&events->lock);
    if (!room) {
        json_object_put(one->body);
        free(one);
    }
}

/* ---- sending ---- */

/* The entry of this saying, or the one that was used longest ago. */
static struct said *said_of(struct xb_kube_events *events, uint64_t same)
{
    struct said *oldest = &events->said[0];
    for (size_t i = 0; i < XB_KUBE_EVENTS_KNOWN_MAX; i++) {
        struct said *said = &events->said[i];
        if (said->same == same) {
            return said;
        }
        oldest = said->at_ns < oldest->at_ns ? said : oldest;
    }
    return oldest;
}

static bool may_speak(struct xb_kube_events *events, const char *uid, int64_t now_ns)
{
    struct speaker *speaker = &events->speakers[0];
    for (size_t i = 0; i < XB_KUBE_EVENTS_KNOWN_MAX; i++) {
        struct speaker *other = &events->speakers[i];
        if (strcmp(other->uid, uid) == 0) {
            speaker = other;
            break;
        }
        speaker = other->since_ns < speaker->since_ns ? other : speaker;
    }
    if (strcmp(speaker->uid, uid) != 0) {
        *speaker = (struct speaker){.left = XB_KUBE_EVENTS_BURST, .since_ns = now_ns};
        snprintf(speaker->uid, sizeof speaker->uid, "%s", uid);
    }
    int64_t more = (now_ns - speaker->since_ns) / (XB_KUBE_EVENTS_EVERY_S * XB_NS_PER_S);
    speaker->left += more;
    speaker->since_ns += more * XB_KUBE_EVENTS_EVERY_S * XB_NS_PER_S;
    if (speaker->left > XB_KUBE_EVENTS_BURST) {
        speaker->left = XB_KUBE_EVENTS_BURST;
    }
    if (speaker->left <= 0) {
        return false;
    }
    speaker->left--;
    return true;
}

static void count(struct xb_kube_events *events, uint64_t *which)
{
    pthread_mutex_lock(&events->lock);
    ++*which;
    pthread_mutex_unlock(&events->lock);
}

static int repeat(struct xb_kube_events *events, struct said *said, const struct waiting *one,
                  struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    const struct xb_kube_ref ref = {.resource = &event_resource,
                                    .namespace = said->namespace,
                                    .name = said->name,
                                    .cancel = &events->stop};
    put(patch, "lastTimestamp", xb_json_str(one->body, "lastTimestamp", ""));
    json_object_object_add(patch, "count", json_object_new_int64(said->count + 1));
    return xb_kube_merge_patch(events->client, &ref, patch, NULL, err);
}

static int make(struct xb_kube_events *events, struct said *said, const struct waiting *one,
                int64_t now_ns, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &event_resource,
                                    .namespace = xb_json_str(one->body, "metadata.namespace", ""),
                                    .cancel = &events->stop};
    int r = xb_kube_create(events->client, &ref, one->body, NULL, err);
    if (r == 0) {
        *said = (struct said){.same = one->same, .count = 1, .at_ns = now_ns};
        snprintf(said->name, sizeof said->name, "%s", xb_json_str(one->body, "metadata.name", ""));
        snprintf(said->namespace, sizeof said->namespace, "%s", ref.namespace);
    }
    return r;
}

static void send_one(struct xb_kube_events *events, const struct waiting *one)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t now_ns = xb_clock_mono_ns();
    struct said *said = said_of(events, one->same);
    bool again =
        said->same == one->same && now_ns - said->at_ns < XB_KUBE_EVENTS_SAME_S * XB_NS_PER_S;
    if (!may_speak(events, xb_json_str(one->body, "involvedObject.uid", ""), now_ns)) {
        count(events, &events->counts.dropped);
        return;
    }
    int r = again ? repeat(events, said, one, &err) : -ENOENT;
    if (again && r == 0) {
        said->count++;
        said->at_ns = now_ns;
        count(events, &events->counts.repeated);
        return;
    }
    if (!again || err.kind == XB_ERR_NOT_FOUND) {
        err = (struct xb_error)XB_ERROR_INIT;
        r = make(events, said, one, now_ns, &err);
    }
    count(events, r == 0 ? &events->counts.made : &events->counts.dropped);
    if (r < 0) {
        xb_log_debug("an event could not be sent", "error", err.text);
    }
}

static struct waiting *take(struct xb_kube_events *events)
{
    pthread_mutex_lock(&events->lock);
    while (!events->first && !atomic_load(&events->stop)) {
        pthread_cond_wait(&events->some, &events->lock);
    }
    struct waiting *one = atomic_load(&events->stop) ? NULL : events->first;
    if (one) {
        events->first = one->next;
        events->last = events->first ? events->last : &events->first;
        events->waiting--;
    }
    pthread_mutex_unlock(&events->lock);
    return one;
}

static void free_waiting(struct waiting *one)
{
    json_object_put(one->body);
    free(one);
}

static void *run(void *context)
{
    struct xb_kube_events *events = context;
    struct waiting *one = NULL;
    while ((one = take(events))) {
        send_one(events, one);
        free_waiting(one);
    }
    return NULL;
}

/* ---- made and ended ---- */

int xb_kube_events_new(struct xb_kube_client *client, const char *component, const char *instance,
                       struct xb_kube_events **ret, struct xb_error *err)
{
    sigset_t all, before;
    struct xb_kube_events *events = calloc(1, sizeof *events);
    if (!events) {
        return xb_error_no_memory(err, "events");
    }
    events->client = client;
    snprintf(events->component, sizeof events->component, "%s", component);
    snprintf(events->instance, sizeof events->instance, "%s", instance);
    events->last = &events->first;
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->some, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&events->thread, NULL, run, events);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        pthread_cond_destroy(&events->some);
        pthread_mutex_destroy(&events->lock);
        free(events);
        return xb_error_errno(err, failed, "a thread for events");
    }
    *ret = events;
    return 0;
}

void xb_kube_events_free(struct xb_kube_events *events)
{
    if (!events) {
        return;
    }
    pthread_mutex_lock(&events->lock);
    atomic_store(&events->stop, true);
    pthread_cond_signal(&events->some);
    pthread_mutex_unlock(&events->lock);
    pthread_join(events->thread, NULL);
    while (events->first) {
        struct waiting *one = events->first;
        events->first = one->next;
        free_waiting(one);
    }
    pthread_cond_destroy(&events->some);
    pthread_mutex_destroy(&events->lock);
    free(events);
}

void xb_kube_events_counts(struct xb_kube_events *events, struct xb_kube_events_counts *ret)
{
    pthread_mutex_lock(&events->lock);
    *ret = events->counts;
    pthread_mutex_unlock(&events->lock);
}
