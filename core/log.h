/*
 * Log lines on stderr: level, area.event, key=value…
 *
 *   info lfs.upload req=7f3 repo=models/team/model oid=3f2a… bytes=5368709120 ms=8120
 *
 * Shape:   values with blanks, quotes or control bytes are quoted and escaped; a line is one
 * write(2), at most LOAM_LOG_LINE_MAX bytes. A request id set by loam_log_scope() is added to every
 *          line of that thread. Secrets are never passed in.
 * Where stderr is systemd's journal (JOURNAL_STREAM) a line begins with its priority, "<4>",
 *          which the journal takes off: `journalctl -p warning`.
 * Threads: any. Library code logs at debug only; the edge logs once.
 * Source:  sd-daemon(3), systemd.exec(5) for the priorities.
 */
#ifndef LOAM_CORE_LOG_H
#define LOAM_CORE_LOG_H

#include <stdbool.h>

#define LOAM_LOG_LINE_MAX 4096

enum loam_log_level { LOAM_LOG_DEBUG, LOAM_LOG_INFO, LOAM_LOG_WARN, LOAM_LOG_ERROR };

void loam_log_set_level(enum loam_log_level level); /* default INFO; LOAM_DEBUG=1 makes it DEBUG */
bool loam_log_enabled(enum loam_log_level level);
/* fields is printf-style "key=%s key2=%llu": each %s value is quoted when it needs it. */
void loam_log(enum loam_log_level level, const char *event, const char *fields, ...)
	__attribute__((format(printf, 3, 4)));
/* "<3>" or so for what is written to stderr, "" where that is not the journal. */
const char *loam_log_priority(enum loam_log_level level);
/* Sets (copy, cut at 32 bytes) or with NULL removes this thread's request id. */
void loam_log_scope(const char *request_id);
const char *loam_log_scope_id(void); /* "" without one */

#define loam_debug(event, ...) loam_log(LOAM_LOG_DEBUG, event, " " __VA_ARGS__)
#define loam_info(event, ...)  loam_log(LOAM_LOG_INFO, event, " " __VA_ARGS__)
#define loam_warn(event, ...)  loam_log(LOAM_LOG_WARN, event, " " __VA_ARGS__)
#define loam_error(event, ...) loam_log(LOAM_LOG_ERROR, event, " " __VA_ARGS__)

#endif
