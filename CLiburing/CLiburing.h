// What Swift needs of liburing: the library's header, inline shims for what are macros or unions
// there, and constants newer than the distribution's header (2.3). No logic lives here.
#ifndef WEIR_CLIBURING_H
#define WEIR_CLIBURING_H

// The C library's own types come from Swift's Glibc module: a second reading of the same headers, with other
// feature macros, would make other types of the same names.
#pragma clang module import SwiftGlibc
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// A submission entry, or NULL when the submission queue is full. In liburing 2.3 the public
// io_uring_get_sqe is not inline; this is its inline body.
static inline struct io_uring_sqe *weir_get_sqe(struct io_uring *ring) {
    return _io_uring_get_sqe(ring);
}

// Completion queue, read side: head and tail as the application sees them, entry by position.
static inline unsigned weir_cq_head(const struct io_uring *ring) { return *ring->cq.khead; }
static inline unsigned weir_cq_tail(const struct io_uring *ring) {
    return __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE);
}
static inline struct io_uring_cqe *weir_cq_entry(const struct io_uring *ring, unsigned position) {
    return &ring->cq.cqes[position & ring->cq.ring_mask];
}
static inline void weir_cq_advance(struct io_uring *ring, unsigned count) {
    io_uring_cq_advance(ring, count);
}
// How many completions the kernel dropped for want of room; 0 for ever where it keeps them (NODROP).
static inline unsigned weir_cq_dropped(const struct io_uring *ring) {
    return __atomic_load_n(ring->cq.koverflow, __ATOMIC_RELAXED);
}

// Fields that live in anonymous unions of the submission entry.
static inline void weir_sqe_set_token(struct io_uring_sqe *sqe, uint64_t token) {
    sqe->user_data = token;
}
static inline void weir_sqe_select_buffer(struct io_uring_sqe *sqe, uint16_t group) {
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
}

// Buffer ring entries; the tail is published once a batch by weir_buffer_ring_advance.
static inline void weir_buffer_ring_add(struct io_uring_buf_ring *ring, void *address,
                                        unsigned length, uint16_t identifier, int mask,
                                        int offset) {
    io_uring_buf_ring_add(ring, address, length, identifier, mask, offset);
}
static inline void weir_buffer_ring_advance(struct io_uring_buf_ring *ring, int count) {
    io_uring_buf_ring_advance(ring, count);
}

// GNU calls and constants that Swift's Glibc module leaves out.
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int descriptors[2], int flags);
extern ssize_t preadv2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags);
extern ssize_t pwritev2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags);
extern ssize_t splice(int input, off_t *input_offset, int output, off_t *output_offset, size_t length,
                      unsigned flags);
#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif
enum { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032 };
static inline long weir_splice(int input, int output, size_t length) {
    return splice(input, NULL, output, NULL, length, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}
static inline int weir_set_pipe_size(int descriptor, int bytes) { return fcntl(descriptor, F_SETPIPE_SZ, bytes); }
static inline int weir_pipe_size(int descriptor) { return fcntl(descriptor, F_GETPIPE_SZ); }
static inline int weir_undelivered_bytes(int descriptor) {
    int bytes = 0;
    return ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? bytes : -errno;
}

// Calls whose address argument is a transparent union in C, for the kernel that is emulated on epoll.
static inline int weir_connect(int descriptor, const void *address, socklen_t length) {
    return connect(descriptor, (const struct sockaddr *)address, length);
}
static inline int weir_accept(int descriptor, void *address, socklen_t *length, int flags) {
    return accept4(descriptor, (struct sockaddr *)address, length, flags);
}

#endif
