/* SPDX-License-Identifier: Apache-2.0
 *
 * directory.h - one directory's listing, as kopia stores it and with what kopia lacks in extra
 * fields.
 *
 * What for:  encode and decode entries and directory objects; the only place that knows their JSON.
 * Ownership: a decoded entry's strings belong to the entry: xb_entry_free. Encoding copies.
 * Threads:   none shared.    Blocking: never (pure).
 * Shapes:    kopia-format section 11. Extra fields (design decision 1), all optional and ignored by
 *            kopia. In an entry:
 *            x-name     base64 of the raw name when that is no UTF-8; `name` is then a stand-in
 *            x-xattr    {"user.a":"<base64>",...}; ACLs are system.posix_acl_access/_default
 *            x-link     what all names of one hard-linked file in the snapshot have in common
 *            x-ino, x-ctime   identity of the file when it was read, for the next incremental
 *            x-holes    [offset,length,...] of the gaps of a sparse file's data, ascending
 *            x-node     "p" fifo, "s" socket, "b:<major>:<minor>", "c:<major>:<minor>"
 *            x-changed  true: the file changed while it was read, and did not come to rest
 *            In the directory object: x-special, the entries with x-node, which have no object.
 *            kopia would restore an empty file for each if they stood in `entries` (where they are
 *            read, too: older versions put them there).
 * Errors:    CORRUPT with the entry's name and the field.
 * Limits:    name <= 4096 bytes, xattr value <= 64 KiB, all xattrs <= 1 MiB, holes <=
 *            XB_ENTRY_HOLES_MAX (beyond: none recorded, data is still right). Names that are empty,
 *            ".", "..", or hold '/' or NUL are refused, raw names too, but for absolute paths, of
 *            which the last part counts: Velero's block uploads have such. Names of a directory are
 *            unique: a second entry of one name is not encoded, and decoded under another name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/repository/object.h"

enum {
    XB_ENTRY_NAME_BYTES_MAX = 4096,
    XB_ENTRY_XATTRS_MAX = 1024,
    XB_ENTRY_XATTR_BYTES_MAX = 64 * 1024,
    XB_ENTRY_HOLES_MAX = 65536
};

/* Why a checkpoint is not complete: what the summaries in it, and its manifest, say. */
#define XB_INCOMPLETE_CHECKPOINT "checkpoint"

enum xb_entry_type { XB_ENTRY_DIRECTORY, XB_ENTRY_FILE, XB_ENTRY_SYMLINK };

struct xb_xattr {
    char *name;
    unsigned char *value;
    size_t len;
};

struct xb_hole {
    uint64_t offset, len;
};

struct xb_summary_error {
    char *path;
    char *error;
};

struct xb_summary {
    uint64_t size, files, symlinks, dirs;
    int64_t max_time_ns;
    uint64_t num_failed, num_ignored_errors;
    char *incomplete;                /* NULL: complete */
    struct xb_summary_error *errors; /* at most 10 */
    size_t error_count;
};

struct xb_entry {
    char *name; /* raw bytes, NUL ended: what the file is really called */
    enum xb_entry_type type;
    uint32_t mode; /* POSIX: permission bits with 04000 setuid, 02000 setgid, 01000 sticky; no type
                      bits */
    uint64_t size;
    int64_t mtime_ns;
    uint32_t uid, gid;
    struct xb_object_id object;
    struct xb_summary *summary; /* directories: what their parent says of them; NULL otherwise */

    struct xb_xattr *xattrs;
    size_t xattr_count;
    struct xb_hole *holes;
    size_t hole_count;
    uint64_t inode;   /* 0: unknown */
    int64_t ctime_ns; /* 0: unknown */
    char *link;       /* NULL: not hard-linked */
    char node;        /* 0, or p s b c: a special file, without an object */
    uint32_t node_major, node_minor;
    bool changed; /* while it was read */
    bool renamed; /* decoded only: another entry has the stored name, so this one's is made up */
};

void xb_entry_free(struct xb_entry *entry); /* frees what it owns, and zeroes it; not the struct */
void xb_summary_free(struct xb_summary *summary);
XB_DEFINE_CLEANUP(xb_summary_freep, struct xb_summary, xb_summary_free);

/* Appends the entry's JSON object. Also used for a snapshot's rootEntry. */
int xb_entry_encode(const struct xb_entry *entry, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;
/* The reverse: the text is one object, white space around it allowed. */
int xb_entry_decode(const char *text, size_t len, struct xb_entry *ret,
                    struct xb_error *err) XB_MUST_CHECK;

struct xb_entry_text;

/* Builds a directory object. Entries may be added in any order and are sorted (directories first,
 * bytewise) at the end; beyond some megabytes they are kept in a scratch file
 * (shared/base/scratch.h). Adding takes the entry's content over (also on failure). A stand-in for
 * a name that is no UTF-8 gives way to a file that is really called so. */
struct xb_directory_builder;
int xb_directory_builder_new(struct xb_directory_builder **ret, struct xb_error *err) XB_MUST_CHECK;
int xb_directory_builder_add(struct xb_directory_builder *builder, struct xb_entry *entry,
                             struct xb_error *err) XB_MUST_CHECK;
/* The same for an entry that was decoded and not changed since; it stays the caller's. Its text, if
 * it has one, is taken over and need not be made again (NULL is as good as none). `of_parent`: it
 * is the entry of this name in the directory that xb_directory_builder_parent tells. */
int xb_directory_builder_keep_text(struct xb_directory_builder *builder,
                                   const struct xb_entry *entry, const struct xb_entry_text *text,
                                   bool of_parent, struct xb_error *err) XB_MUST_CHECK;
/* xb_directory_builder_add where the parent has an entry of this name: if what is added turns out
 * to be written just like `before`, that entry's text (NULL is as good as none), it counts as kept
 * of the parent. For subfolders, which are only known when they are written. */
int xb_directory_builder_add_over(struct xb_directory_builder *builder, struct xb_entry *entry,
                                  const struct xb_entry_text *before,
                                  struct xb_error *err) XB_MUST_CHECK;

/* Which entries a directory has: how many, and the sum of their names' hashes. */
struct xb_directory_tally {
    uint64_t count, names;
};
/* The folder's directory in the parent snapshot, with its tally and its summary; any time before
 * writing. If exactly its entries are kept, and the summary is the same, writing hands out its id
 * without writing anything, after a look whether its contents are still there. */
int xb_directory_builder_parent(struct xb_directory_builder *builder, const struct xb_object_id *id,
                                const struct xb_directory_tally *tally,
                                const struct xb_summary *summary,
                                struct xb_error *err) XB_MUST_CHECK;
/* An entry that could not be read: counted in numFailed (fatal) or numIgnoredErrors, and listed. */
int xb_directory_builder_add_error(struct xb_directory_builder *builder, const char *path,
                                   const char *message, bool ignored,
                                   struct xb_error *err) XB_MUST_CHECK;
/* Computes the summary (own_mtime_ns for an empty directory's maxTime), writes the object with
 * prefix 'k', hands out id and summary. The parent's entry carries the directory's real mtime in
 * its copy of summary.max_time_ns (kopia-format section 11): the caller sets that. */
int xb_directory_builder_write(struct xb_directory_builder *builder,
                               struct xb_repository *repository, int64_t own_mtime_ns,
                               struct xb_object_id *ret_id, struct xb_summary **ret_summary,
                               struct xb_error *err) XB_MUST_CHECK;
/* Writes what has been added so far, and what `more` holds (NULL: nothing), as a directory whose
 * summary says XB_INCOMPLETE_CHECKPOINT. Both builders stay as they are; nobody may add to them
 * meanwhile. */
int xb_directory_builder_checkpoint(const struct xb_directory_builder *builder,
                                    const struct xb_directory_builder *more,
                                    struct xb_repository *repository, struct xb_object_id *ret_id,
                                    struct xb_summary **ret_summary,
                                    struct xb_error *err) XB_MUST_CHECK;
void xb_directory_builder_free(struct xb_directory_builder *builder);
XB_DEFINE_CLEANUP(xb_directory_builder_freep, struct xb_directory_builder,
                  xb_directory_builder_free);

/* ---- reading ---- */

/* Goes through a directory's entries in stored order, special files last. Memory does not depend on
 * their number (but see XB_DIRECTORY_LOSSY_MAX): a chunk of the object and one entry. An object
 * that is damaged further on is found out only there. */
struct xb_directory_cursor;

/* kopia stores all names that are no UTF-8 with U+FFFD in them, so that a folder of its can hold
 * one name several times: each but the first gets another name, NAME~2 and so on, and is `renamed`.
 * The cursor remembers (16 bytes each) which names with U+FFFD it has seen, at most this many.
 * Names without it are told apart only where they follow one another. */
enum { XB_DIRECTORY_LOSSY_MAX = 4 << 20 };

int xb_directory_open(struct xb_repository *repository, const struct xb_object_id *id,
                      struct xb_directory_cursor **ret, struct xb_error *err) XB_MUST_CHECK;
/* The next entry, NULL at the end. It is the cursor's until the next call; the caller may take its
 * content, and then leaves an empty one: `mine = *entry; *entry = (struct xb_entry){.name = NULL};`
 */
int xb_directory_next(struct xb_directory_cursor *cursor, struct xb_entry **ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* What xb_directory_builder_keep_text takes of the present entry, until the next call. */
const struct xb_entry_text *xb_directory_cursor_text(const struct xb_directory_cursor *cursor);
/* The entries so far, and the summary if it has been passed: both are whole at the end. */
const struct xb_directory_tally *
xb_directory_cursor_tally(const struct xb_directory_cursor *cursor);
const struct xb_summary *xb_directory_cursor_summary(const struct xb_directory_cursor *cursor);
/* How much memory it holds now. */
size_t xb_directory_cursor_memory(const struct xb_directory_cursor *cursor);
/* Gives that memory back; the chunk is read again when the cursor goes on. For who goes into a
 * subfolder. The present entry stays, its text does not. */
void xb_directory_cursor_rest(struct xb_directory_cursor *cursor);
/* For who goes into a subfolder meanwhile, with `held` bytes in cursors that wait above: it rests
 * if all of them would hold more than XB_DIRECTORY_HELD_BYTES_MAX. Returns what they hold with it.
 */
enum { XB_DIRECTORY_HELD_BYTES_MAX = 12 << 20 };
size_t xb_directory_cursor_wait(struct xb_directory_cursor *cursor, size_t held);
void xb_directory_close(struct xb_directory_cursor *cursor);
XB_DEFINE_CLEANUP(xb_directory_closep, struct xb_directory_cursor, xb_directory_close);

/* The JSON behind an entry's name, if it is just what would be written for the entry; NULL if not.
 */
struct xb_entry_text {
    const char *rest;
    size_t len;
};

/* A whole directory, for finding by name; only for what is known to be small (look at the cursor's
 * length). */
struct xb_directory {
    struct xb_entry *entries; /* in stored order, special files last */
    struct xb_entry_text *texts;
    size_t count;
    struct xb_summary summary;
    struct xb_directory_tally tally;
    uint32_t *by_name; /* positions in the order of raw names */
    char *text;
};
int xb_directory_read(struct xb_repository *repository, const struct xb_object_id *id,
                      struct xb_directory **ret, struct xb_error *err) XB_MUST_CHECK;
/* The same from bytes (pure; a fuzz target). */
int xb_directory_decode(const char *data, size_t len, struct xb_directory **ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* A cursor through bytes, which must outlive it (pure). */
int xb_directory_open_text(const char *text, size_t len, struct xb_directory_cursor **ret,
                           struct xb_error *err) XB_MUST_CHECK;
/* NULL if absent. Found by binary search, whatever the stored order. */
const struct xb_entry *xb_directory_find(const struct xb_directory *directory, const char *name);
/* The text of one of its entries; lives as long as the directory. */
const struct xb_entry_text *xb_directory_text(const struct xb_directory *directory,
                                              const struct xb_entry *entry);
void xb_directory_free(struct xb_directory *directory);
XB_DEFINE_CLEANUP(xb_directory_freep, struct xb_directory, xb_directory_free);
