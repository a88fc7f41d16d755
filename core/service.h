/*
 * Telling the service manager when this process is ready: systemd's notification protocol.
 *
 * Without a service manager (no NOTIFY_SOCKET) all of it does nothing. A message that cannot be
 * sent is logged and no error: the service manager has a time-out of its own.
 *
 * Threads: loam_service_take before the process has a second one; then any.
 * Source:  sd_notify(3), "Notes": one datagram to the Unix socket that NOTIFY_SOCKET names.
 */
#ifndef LOAM_CORE_SERVICE_H
#define LOAM_CORE_SERVICE_H

#define LOAM_SERVICE_STATUS_MAX 512 /* bytes of a message; longer ones are cut */

/* Remembers the socket and takes it out of the environment: it is this process's, not a child's. */
void loam_service_take(void);
/* What Type=notify waits for. status, printf-style, is the line that `systemctl status` shows. */
void loam_service_ready(const char *status, ...) __attribute__((format(printf, 1, 2)));
/* The end was asked for and has begun. */
void loam_service_stopping(void);

#endif
