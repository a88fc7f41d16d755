/*
 * Errors: a value at the edge, a code on the way.
 *
 * A function that can fail returns 0 or -LOAM_E_x and takes `struct loam_err *err` last. The value
 * is owned by whoever can answer a user (a request, a FUSE call, a hook, a job); it holds no heap
 * memory. One table below serves every edge: errno for FUSE, HTTP status, exit code.
 *
 * Questions ("is it there?") answer 1, 0 or -code: absence is an answer, not an error.
 */
#ifndef LOAM_CORE_ERR_H
#define LOAM_CORE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define LOAM_CODES(X)                                                                          \
	/* name        errno         HTTP  retry  meaning */                                   \
	X(NOT_FOUND, ENOENT, 404, false, "no such object, file, ref or path")                  \
	X(EXISTS, EEXIST, 409, false, "the name is taken")                                     \
	X(DENIED, EACCES, 403, false, "the caller may not do this")                            \
	X(NOT_PERMITTED, EPERM, 403, false, "nobody, or only the owner, may do this")          \
	X(UNAUTHENTICATED, EACCES, 401, false, "no or wrong credentials")                      \
	X(INVALID, EINVAL, 400, false, "input breaks its format or a limit")                   \
	X(UNPROCESSABLE, EINVAL, 422, false, "well-formed, but the value makes no sense here") \
	X(TOO_LARGE, EFBIG, 413, false, "more than the limit")                                 \
	X(NAME_TOO_LONG, ENAMETOOLONG, 400, false, "a name over its limit")                    \
	X(NOT_DIR, ENOTDIR, 400, false, "a directory was needed")                              \
	X(IS_DIR, EISDIR, 400, false, "a directory where a file was needed")                   \
	X(NOT_EMPTY, ENOTEMPTY, 409, false, "the directory is not empty")                      \
	X(LOOP, ELOOP, 400, false, "too many or forbidden symbolic links")                     \
	X(CROSS_DEVICE, EXDEV, 400, false, "not within one volume")                            \
	X(NO_DATA, ENODATA, 404, false, "no such attribute")                                   \
	X(RANGE, ERANGE, 400, false, "a name or value over its limit")                         \
	X(TOO_BIG, E2BIG, 400, false, "an argument over its limit")                            \
	X(STALE, ESTALE, 409, false, "the handle no longer fits the file")                     \
	X(AGAIN, EAGAIN, 409, true, "held by somebody else at this moment")                    \
	X(INTERRUPTED, EINTR, 503, true, "cancelled")                                          \
	X(CONFLICT, EAGAIN, 409, true, "changed by somebody else meanwhile")                   \
	X(READ_ONLY, EROFS, 403, false, "the volume or mount is read-only")                    \
	X(NO_SPACE, ENOSPC, 507, false, "no space left")                                       \
	X(QUOTA, EDQUOT, 507, false, "over quota")                                             \
	X(BUSY, EBUSY, 503, true, "too much at once; try again")                               \
	X(LIMITED, EAGAIN, 429, true, "too many tries; wait")                                  \
	X(UNSUPPORTED, ENOTSUP, 501, false, "not built, or not offered by the other side")     \
	X(CORRUPT, EIO, 500, false, "stored bytes break their format or checksum")             \
	X(IO, EIO, 500, false, "a disk, socket or device failed")                              \
	X(UNAVAILABLE, ETIMEDOUT, 503, true, "a backend did not answer in time")               \
	X(INTERNAL, EIO, 500, false, "a mistake of ours")

enum loam_code {
	LOAM_E_OK = 0,
#define X(name, posix, http, retry, text) LOAM_E_##name,
	LOAM_CODES(X)
#undef X
		LOAM_E_COUNT
};

#define LOAM_ERR_TEXT_MAX 512

struct loam_err {
	enum loam_code code;
	char text[LOAM_ERR_TEXT_MAX]; /* one line, control characters as '?', cut at the limit */
};

/* Each sets *err and returns -code. Setting an err that is already set is a bug and asserts. */
int loam_fail(struct loam_err *err, enum loam_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Reads errno at once; maps ENOENT, EACCES, ENOSPC … to their codes, all others to IO. */
int loam_fail_errno(struct loam_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Prefixes "context: " to a set err, keeps the code, returns -code. */
int loam_context(struct loam_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A handled error is cleared before the value is used again. */
void loam_err_clear(struct loam_err *err);

/* All take a code as the enum or as the negative return value. */
int loam_code_errno(int code);	      /* positive errno for FUSE */
int loam_code_http(int code);	      /* status */
bool loam_code_may_retry(int code);   /* true when trying again later can help */
const char *loam_code_name(int code); /* "NOT_FOUND" */
const char *loam_code_meaning(int code);
enum loam_code loam_code_from_errno(int posix_errno);

/* Our own mistakes only, on in release builds too. Input is never asserted. */
#define loam_assert(cond)                                              \
	do {                                                           \
		if (__builtin_expect(!(cond), 0))                      \
			loam_assert_failed(#cond, __FILE__, __LINE__); \
	} while (0)
_Noreturn void loam_assert_failed(const char *cond, const char *file, int line);

#endif
