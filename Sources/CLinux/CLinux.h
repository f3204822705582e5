// Linux calls of the control plane that Swift's Glibc module leaves out, because they are in headers of their
// own or the C library shows them only with _GNU_SOURCE. Inline, no logic.
#ifndef WEIR_CLINUX_H
#define WEIR_CLINUX_H

// The C library's own types come from Swift's Glibc module: a second reading of the same headers would make
// other types of the same names.
#pragma clang module import SwiftGlibc
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// A counter to wake a thread with; close-on-exec and non-blocking.
static inline int weir_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
static inline int weir_signalfd(const sigset_t *signals) {
    return signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
}
// `target` becomes another name of `source`, in one step.
static inline int weir_replace_descriptor(int source, int target) {
    return (int)syscall(SYS_dup3, source, target, O_CLOEXEC);
}
// Both ends close on exec.
static inline int weir_pipe(int ends[2]) { return (int)syscall(SYS_pipe2, ends, O_CLOEXEC); }
// Another number for the same file, 10 or above; closes on exec.
static inline int weir_duplicate(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 10); }
// A program that is spawned gets no descriptor from this number on (glibc 2.34).
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
static inline int weir_spawn_closing_from(posix_spawn_file_actions_t *actions, int from) {
    return posix_spawn_file_actions_addclosefrom_np(actions, from);
}
extern char **environ;
static inline char *const *weir_environment(void) { return environ; }
static inline int weir_accept_nonblocking(int listener) {
    return (int)syscall(SYS_accept4, listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
// The user at the other end of a unix socket (SO_PEERCRED, unix(7)). 0, or -1 with errno set.
static inline int weir_peer_user(int descriptor, unsigned int *user) {
    struct { int process; unsigned int user, group; } peer;
    socklen_t length = sizeof peer;
    int result = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (result == 0) *user = peer.user;
    return result;
}
// Two ends that keep messages apart and carry descriptors (unix(7)); both close on exec.
static inline int weir_message_pair(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}
// Sends one message, with `descriptor` unless that is negative. Answers as sendmsg(2).
static inline long weir_send_message(int socket, const void *bytes, size_t count, int descriptor) {
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr alignment; } control = {0};
    struct iovec piece = {(void *)bytes, count};
    struct msghdr message = {0};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        __builtin_memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}
// Receives one message; `descriptor` is -1 where none came, and closes on exec. Answers as recvmsg(2).
static inline long weir_receive_message(int socket, void *bytes, size_t capacity, int *descriptor) {
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr alignment; } control = {0};
    struct iovec piece = {bytes, capacity};
    struct msghdr message = {0};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    *descriptor = -1;
    long result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = result >= 0 ? CMSG_FIRSTHDR(&message) : 0;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        __builtin_memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    return result;
}
// Core masks of the calling thread, as plain bytes. Answers how many bytes count, or a negative number.
static inline int weir_get_affinity(unsigned char *mask, size_t bytes) {
    return (int)syscall(SYS_sched_getaffinity, 0, bytes, mask);
}
static inline int weir_set_affinity(const unsigned char *mask, size_t bytes) {
    return (int)syscall(SYS_sched_setaffinity, 0, bytes, mask);
}
static inline long weir_random_bytes(void *buffer, size_t bytes) {
    return syscall(SYS_getrandom, buffer, bytes, 0);
}

// For the simulator, whose worlds run in processes of their own: one that dies of a precondition leaves the
// next seed alone. The caller has a single thread.
static inline int weir_fork(void) { return (int)fork(); }

#endif
