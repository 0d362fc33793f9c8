/* SPDX-License-Identifier: Apache-2.0
 * Who writes into a file. The kernel lets one write into a file at a time, and others spin
 * meanwhile. So one thread writes into a file, and whoever comes with more leaves it to him and
 * goes on reading; he ends when nothing is left. */
#include <stdlib.h>

#include "agent/restore/internal.h"

/* So much is read, and not more is left to others: what they write is still in a cache then. */
enum { LEFT_BYTES_MAX = 16 * 1024 * 1024 };

/* ---- loads ---- */

struct load *xb_restore_load_new(struct window *window, uint64_t bytes)
{
    struct load *load = calloc(1, sizeof *load);
    if (load) {
        load->window = window;
        load->bytes = bytes;
        load->scratch = xb_restore_take_memory(window->restore, bytes);
        load->holds = 1;
    }
    return load;
}

void xb_restore_load_release(struct load *load)
{
    struct window *window = load->window;
    struct restore *restore = window->restore;
    pthread_mutex_lock(&restore->lock);
    bool last = --load->holds == 0;
    pthread_mutex_unlock(&restore->lock);
    if (last) {
        xb_restore_give_memory(restore, load->bytes, &load->scratch);
        free(load);
        xb_restore_window_job_ended(window);
    }
}

/* ---- a file's queue; with the lock held ---- */

static void append(struct file *file, struct piece *piece)
{
    *(file->queue ? &file->queue_last->next : &file->queue) = piece;
    file->queue_last = piece;
}

/* The next piece for him who writes; without one the file is nobody's again. */
static struct piece *next_piece(struct file *file)
{
    struct piece *piece = file->queue;
    if (piece) {
        file->queue = piece->next;
    } else {
        file->busy = false;
    }
    return piece;
}

/* Whether somebody else is at the file: then he gets the piece. Who must not leave his own waits
 * until it is done. */
static bool left_to_other(struct file *file, struct load *load, struct piece *own)
{
    struct restore *restore = file->frame->restore;
    struct piece *piece = own;
    if (!file->busy) {
        file->busy = true;
        return false;
    }
    if (load && load->piece_count < XB_RESTORE_LOAD_PIECES_MAX &&
        atomic_load(&restore->memory.taken) <= LEFT_BYTES_MAX) {
        piece = &load->pieces[load->piece_count++];
        *piece = *own;
        piece->load = load;
        load->holds++;
    }
    append(file, piece);
    while (piece == own && !own->done) {
        pthread_cond_wait(&restore->idle, &restore->lock);
    }
    return true;
}

/* ---- writing ---- */

static int write_piece(const struct piece *piece, struct xb_error *err)
{
    struct file *file = piece->row->owner;
    return xb_restore_wanted(piece->row)
               ? xb_restore_file_write(file, piece->row->target, piece->data,
                                       piece->row->plain_bytes, err)
               : 0;
}

/* Tells whoever waits for the piece, or for its memory. */
static void end_piece(struct restore *restore, struct piece *piece)
{
    if (piece->load) {
        xb_restore_load_release(piece->load);
        return;
    }
    pthread_mutex_lock(&restore->lock);
    piece->done = true;
    pthread_cond_broadcast(&restore->idle);
    pthread_mutex_unlock(&restore->lock);
}

/* Writes until nobody has left anything. A file is there while one of its rows has not ended. */
static void take_turn(struct file *file, struct piece *own)
{
    struct restore *restore = file->frame->restore;
    for (struct piece *piece = own; piece;) {
        struct xb_error err = XB_ERROR_INIT;
        const uint64_t bytes = piece->row->plain_bytes;
        int r = write_piece(piece, &err);
        pthread_mutex_lock(&restore->lock);
        struct piece *next = next_piece(file);
        pthread_mutex_unlock(&restore->lock);
        xb_restore_file_row_done(file, bytes, r < 0 ? &err : NULL);
        if (piece != own) {
            end_piece(restore, piece);
        }
        piece = next;
    }
}

void xb_restore_write_row(struct load *load, const struct xb_plan_row *row, const char *data)
{
    struct file *file = row->owner;
    struct restore *restore = file->frame->restore;
    struct piece own = {.row = row, .data = data};
    if (file->several) {
        pthread_mutex_lock(&restore->lock);
        bool left = left_to_other(file, load, &own);
        pthread_mutex_unlock(&restore->lock);
        if (left) {
            return;
        }
    }
    take_turn(file, &own);
}
