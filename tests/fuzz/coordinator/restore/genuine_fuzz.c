/* SPDX-License-Identifier: Apache-2.0
 *
 * A place in a record (group, kind, namespace and name, one a line) and the object that lies there:
 * what is taken for genuine says of itself exactly what its place says, as whoever reads the JSON
 * that is sent to the API server sees it.
 */
#include "coordinator/restore/genuine.h"
#include "tests/harness/fuzz.h"

enum { LINES = 4 };

/* As the text that is sent has it. */
static bool says(xb_json *object, const char *path, const char *wanted)
{
    xb_json *value = xb_json_get(object, path);
    if (!value) {
        return wanted[0] == '\0';
    }
    return json_object_is_type(value, json_type_string) && wanted[0] != '\0' &&
           (size_t)json_object_get_string_len(value) == strlen(wanted) &&
           memcmp(json_object_get_string(value), wanted, strlen(wanted)) == 0;
}

static bool says_group(xb_json *object, const char *group)
{
    xb_json *value = xb_json_get(object, "apiVersion");
    const char *version = xb_json_str(object, "apiVersion", "");
    size_t len = strlen(group);
    need(!value || strlen(version) == (size_t)json_object_get_string_len(value));
    return len == 0 ? !strchr(version, '/')
                    : strncmp(version, group, len) == 0 && version[len] == '/';
}

static void check_sent(xb_json *object, const struct xb_restore_place *place)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf text = XB_BUF_INIT(1 << 24);
    XB_CLEANUP(xb_json_putp) xb_json *sent = NULL;
    need(xb_json_write(object, &text, &err) == 0);
    need(xb_json_parse(text.data, text.len, &sent, &err) == 0);
    xb_buf_free(&text);
    need(says_group(sent, place->group));
    need(says(sent, "kind", place->kind));
    need(says(sent, "metadata.namespace", place->namespace));
    need(says(sent, "metadata.name", place->name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    const char *line[LINES];
    char *text = fuzz_text(data, len), *at = text;
    for (size_t i = 0; i < LINES && at; i++) {
        line[i] = at;
        at = strchr(at, '\n');
        if (at) {
            *at++ = '\0';
        }
    }
    if (at && xb_json_parse(at, len - (size_t)(at - text), &object, &err) == 0) {
        const struct xb_restore_place place = {line[0], line[1], line[2], line[3]};
        if (xb_restore_check_place(object, &place, &err) == 0) {
            check_sent(object, &place);
        } else {
            need(err.kind == XB_ERR_CORRUPT && err.text[0] != '\0');
        }
    }
    free(text);
    return 0;
}
