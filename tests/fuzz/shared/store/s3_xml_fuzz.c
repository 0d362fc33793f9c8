/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a server sends as XML: events that nest, a page of keys or a refusal, an error's code
 * that can be printed.
 */
#include "shared/store/s3/fault.h"
#include "shared/store/s3/listing.h"
#include "shared/store/s3/xml.h"
#include "shared/store/store.h"
#include "tests/harness/fuzz.h"

/* Opens and closes are balanced, and the end comes once all are closed. */
static bool well_formed(const char *text, size_t len)
{
    struct xb_xml xml;
    struct xb_error err = XB_ERROR_INIT;
    enum xb_xml_event event = XB_XML_OPEN;
    size_t depth = 0, events = 0;
    int r;
    xb_xml_begin(&xml, text, len);
    while ((r = xb_xml_next(&xml, &event, &err)) == 0 && event != XB_XML_END) {
        need(event == XB_XML_OPEN || depth > 0);
        depth += event == XB_XML_OPEN ? 1 : (size_t)-1;
        need(xml.depth == depth && depth <= XB_XML_DEPTH_MAX);
        need(strlen(xb_xml_text(&xml)) == xml.text.len && xml.text.len <= XB_XML_TEXT_BYTES_MAX);
        need(strlen(xml.name) <= XB_XML_NAME_BYTES_MAX);
        need(++events <= 2 * len);
    }
    need(r < 0 || depth == 0);
    need(r == 0 || err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_FULL);
    xb_xml_done(&xml);
    return r == 0;
}

static void check_page(const char *text, size_t len, bool whole)
{
    struct xb_s3_page page;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_s3_page_parse(text, len, &page, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_FULL);
        return;
    }
    need(whole);
    for (size_t i = 0; i < page.count; i++) {
        need(strlen(xb_s3_page_key(&page, i)) <= XB_STORE_NAME_BYTES_MAX);
    }
    need(!page.truncated || page.token.len > 0);
    xb_s3_page_done(&page);
}

static void check_fault(const char *text, size_t len)
{
    struct xb_s3_fault fault = {.status = 400};
    const struct xb_s3_fault_about about = {.what = "name", .bucket = "b", .region = "r"};
    struct xb_error err = XB_ERROR_INIT;
    xb_s3_fault_parse(text, len, &fault);
    for (const char *c = fault.message; *c; c++) {
        need((unsigned char)*c >= ' ' && *c != 0x7f);
    }
    need(xb_s3_fault_tell(&fault, &about, &err) < 0 && err.kind != XB_ERR_NONE);
    need(xb_s3_fault_passing(&fault) == (err.kind == XB_ERR_RETRY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    bool whole = well_formed(text, len);
    check_page(text, len, whole);
    check_fault(text, len);
    return 0;
}
