/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes out of the guard's socket: whatever is taken for a message is bounded, its texts end,
 * its lists have as many things as they say, and written again it is the same bytes.
 */
#include "agent/guard/message.h"
#include "tests/harness/fuzz.h"

static unsigned char again[XB_GUARD_PACKET_BYTES_MAX];

static void walk(struct xb_guard_list hooks, struct xb_guard_list results)
{
    struct xb_guard_hook hook;
    struct xb_guard_result result;
    uint32_t wanted = hooks.count;
    const char *word = NULL;
    while (xb_guard_next_hook(&hooks, &hook)) {
        uint32_t words = hook.words.count;
        wanted--;
        need(words > 0 && words <= XB_GUARD_WORDS_MAX && strlen(hook.container) > 0);
        while (xb_guard_next_word(&hook.words, &word)) {
            words--;
            need(strlen(word) < XB_GUARD_PACKET_BYTES_MAX);
        }
        need(words == 0 && hook.words.len == 0);
    }
    need(wanted == 0 && hooks.len == 0);
    wanted = results.count;
    while (xb_guard_next_result(&results, &result)) {
        wanted--;
        need(result.out.len <= XB_GUARD_OUTPUT_BYTES_MAX && strlen(result.error) < 600);
    }
    need(wanted == 0 && results.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_message message;
    size_t again_len = 0;
    char *packet = fuzz_text(data, len);
    int r = xb_guard_message_read(packet, len, &message, &err);
    need((r < 0) == (err.code != 0));
    if (r == 0) {
        walk(message.hooks, message.results);
        need(xb_guard_message_write(&message, again, &again_len, &err) == 0);
        need(again_len == len && memcmp(again, packet, len) == 0);
    }
    free(packet);
    return 0;
}
