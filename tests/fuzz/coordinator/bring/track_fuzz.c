/* SPDX-License-Identifier: Apache-2.0
 *
 * Marks of any kind: taken or not, and one that is taken comes back as it was.
 */
#include "coordinator/bring/track.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const kinds[] = {"a", "b"};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_bring_track *track = NULL;
    char *text = fuzz_text(data, len);
    need(xb_bring_track_new(kinds, 2, text, &track, &err) == 0);
    bool resumes = xb_bring_track_resumes(track);
    for (size_t kind = 0; kind < 2; kind++) {
        xb_bring_track_begin_group(track, kind);
        need(resumes || !xb_bring_track_done_before(track, 0, "a//b"));
    }
    xb_bring_track_end(track);
    char *mark = xb_bring_track_mark(track);
    need(mark != NULL);
    xb_bring_track_free(track);
    need(xb_bring_track_new(kinds, 2, mark, &track, &err) == 0);
    need(xb_bring_track_resumes(track));
    need(xb_bring_track_done_before(track, 0, "a//b"));
    xb_bring_track_free(track);
    free(mark);
    free(text);
    return 0;
}
