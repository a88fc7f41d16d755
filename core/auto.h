/*
 * Cleanup where acquired: `loam_auto_*` variables are initialised in their declaration and released
 * at every exit of the block. Ownership moves with loam_steal()/loam_steal_fd(), visible on its
 * line.
 */
#ifndef LOAM_CORE_AUTO_H
#define LOAM_CORE_AUTO_H

#include "core/banned.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void loam_auto_free_(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}
static inline void loam_auto_fd_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void loam_auto_file_(FILE **file)
{
	if (*file)
		fclose(*file);
}
static inline void loam_auto_unlock_(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
}

#define loam_auto_free __attribute__((cleanup(loam_auto_free_)))
#define loam_auto_fd   __attribute__((cleanup(loam_auto_fd_)))
#define loam_auto_file __attribute__((cleanup(loam_auto_file_)))
/* Declares a cleanup attribute for `type *` from `destructor(type *)`, which accepts NULL. */
#define LOAM_DEFINE_AUTO(name, type, destructor) \
	static inline void name##_(type **p)     \
	{                                        \
		destructor(*p);                  \
	}
/* A lock held to the end of the block: `loam_guard(&thing->lock);` */
#define loam_guard(mutex)                           \
	pthread_mutex_t *loam_guard_name_(__LINE__) \
		__attribute__((cleanup(loam_auto_unlock_), unused)) = loam_lock_(mutex)
#define loam_guard_name_(line)	loam_guard_name2_(line)
#define loam_guard_name2_(line) loam_guard_##line##_

static inline pthread_mutex_t *loam_lock_(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

#define loam_steal(pointer)                              \
	({                                               \
		__typeof__(pointer) loam_p_ = (pointer); \
		__typeof__(*loam_p_) loam_v_ = *loam_p_; \
		*loam_p_ = NULL;                         \
		loam_v_;                                 \
	})
static inline int loam_steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

/* Small fixed allocations: zeroed, abort when memory is out. Never with a size from a peer. */
void *loam_xcalloc(size_t count, size_t size);
char *loam_xstrdup(const char *text);
char *loam_xstrndup(const char *text, size_t text_bytes);
char *loam_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define loam_xnew(type)		((type *)loam_xcalloc(1, sizeof(type)))
#define LOAM_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
