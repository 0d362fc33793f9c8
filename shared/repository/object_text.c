/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/object_text.h"

#include <string.h>

#include "shared/repository/object_internal.h"

enum { WINDOW_BYTES = 64 * 1024 };

/* Goes on where the reader's window ends. */
static int reopen(struct xb_object_text *text, struct xb_error *err)
{
    uint64_t offset = xb_json_offset(&text->json) + (uint64_t)(text->json.end - text->json.at);
    int r =
        xb_object_reader_open_inside(text->repository, &text->id, text->inside, &text->object, err);
    text->piece_len = 0;
    return r < 0 ? r : xb_object_reader_seek(text->object, offset, err);
}

static int next_piece(struct xb_object_text *text, struct xb_error *err)
{
    const void *data = NULL;
    size_t len = 0;
    int r = text->object ? 0 : reopen(text, err);
    if (r == 0) {
        r = xb_object_reader_next(text->object, &data, &len, err);
    }
    if (r == 0) {
        text->piece = data;
        text->piece_len = len;
        text->held = len ? len : text->held;
    }
    return r;
}

static int fill_window(void *context, char *to, size_t room, size_t *ret_len, struct xb_error *err)
{
    struct xb_object_text *text = context;
    if (text->piece_len == 0) {
        int r = next_piece(text, err);
        if (r < 0) {
            return r;
        }
    }
    size_t len = room < text->piece_len ? room : text->piece_len;
    if (len > 0) {
        memcpy(to, text->piece, len);
        text->piece += len;
        text->piece_len -= len;
    }
    *ret_len = len;
    return 0;
}

void xb_object_text_init(struct xb_object_text *text, const char *data, size_t len)
{
    *text = (struct xb_object_text){.length = len};
    xb_json_reader_init_text(&text->json, data, len);
}

int xb_object_text_open(struct xb_object_text *text, struct xb_repository *repository,
                        const struct xb_object_id *id, unsigned inside, struct xb_error *err)
{
    *text = (struct xb_object_text){.repository = repository, .id = *id, .inside = inside};
    int r = xb_object_reader_open_inside(repository, id, inside, &text->object, err);
    if (r == 0) {
        text->length = xb_object_reader_length(text->object);
        r = next_piece(text, err);
    }
    if (r < 0) {
        xb_object_text_close(text);
        return r;
    }
    if (text->piece_len == text->length) {
        /* The usual one: it is read where it lies. */
        xb_json_reader_init_text(&text->json, text->piece, text->piece_len);
    } else {
        xb_json_reader_init(&text->json, fill_window, text, WINDOW_BYTES);
    }
    return 0;
}

void xb_object_text_rest(struct xb_object_text *text)
{
    if (!text->object) {
        return;
    }
    if (!text->json.source) {
        xb_json_reader_attach(&text->json, fill_window, text, WINDOW_BYTES);
    }
    xb_json_drop_window(&text->json);
    xb_object_reader_free(XB_TAKE(text->object));
    text->piece_len = 0;
    text->held = 0;
}

void xb_object_text_go(struct xb_object_text *text, const struct xb_json_place *place)
{
    if (text->json.source) {
        xb_object_text_rest(text); /* the chunk under way may be any */
    }
    xb_json_go(&text->json, place);
}

size_t xb_object_text_memory(const struct xb_object_text *text)
{
    return text->held + (text->json.memory ? text->json.memory_bytes : 0);
}

void xb_object_text_close(struct xb_object_text *text)
{
    xb_json_reader_done(&text->json);
    xb_object_reader_free(XB_TAKE(text->object));
}
