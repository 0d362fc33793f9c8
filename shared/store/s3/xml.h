/* SPDX-License-Identifier: Apache-2.0
 *
 * xml.h - a strict little pull parser for the XML that S3 servers send.
 *
 * What for:  listings, errors and multipart answers: elements with text, no mixed content that
 *            matters. Attributes and comments are skipped, a DOCTYPE is refused, so there is
 *            nothing to expand.
 * Ownership: borrows the bytes while it is used; xb_xml_done frees what it collected.
 * Threads:   one at a time.    Blocking: never.
 * Shapes:    names are local ones, without a namespace's prefix; the text of an element is what
 *            stood directly in it, with entities and CDATA decoded; a NUL never occurs in it.
 * Errors:    CORRUPT: not well-formed (a cut-off document too); FULL: a ceiling.
 * Limits:    XB_XML_DEPTH_MAX, XB_XML_NAME_BYTES_MAX, XB_XML_TEXT_BYTES_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

enum { XB_XML_DEPTH_MAX = 16, XB_XML_NAME_BYTES_MAX = 128, XB_XML_TEXT_BYTES_MAX = 16 << 10 };

enum xb_xml_event {
    XB_XML_OPEN,  /* <name ...> */
    XB_XML_CLOSE, /* </name>; text is that since the last OPEN or CLOSE */
    XB_XML_END    /* the document is over, and was whole */
};

struct xb_xml {
    const char *at, *end;
    bool seen, empty; /* a root; the element just opened is <name/> */
    size_t depth;
    struct {
        const char *name; /* with its prefix, as it stands */
        size_t len;
    } open[XB_XML_DEPTH_MAX];
    char name[XB_XML_NAME_BYTES_MAX + 1]; /* of the event */
    struct xb_buf text;                   /* text.data is NULL while empty */
};

void xb_xml_begin(struct xb_xml *xml, const char *data, size_t len);
int xb_xml_next(struct xb_xml *xml, enum xb_xml_event *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_xml_done(struct xb_xml *xml);

/* The text of the element that just closed; never NULL. */
const char *xb_xml_text(const struct xb_xml *xml);

/* Appends `text` with & < > " ' as entities, and other control bytes than tab and line ends too. */
int xb_xml_escape(struct xb_buf *out, const char *text, struct xb_error *err) XB_MUST_CHECK;
