/*
 * Notifications to systemd (core/service.h). Our own, since libsystemd would bring half a dozen
 * libraries into a process that starts as root, for one datagram: docs/decisions/0014.
 */
#include "core/service.h"

#include "core/auto.h"
#include "core/log.h"

#include "core/banned.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un manager;
static socklen_t manager_bytes; /* 0: nobody to tell */

void loam_service_take(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t bytes = path ? strlen(path) : 0;
	manager_bytes = 0;
	if (bytes > 1 && bytes < sizeof(manager.sun_path) && (path[0] == '/' || path[0] == '@')) {
		manager = (struct sockaddr_un){ .sun_family = AF_UNIX };
		memcpy(manager.sun_path, path, bytes);
		if (path[0] == '@') /* an abstract name: no file, and no NUL at its end */
			manager.sun_path[0] = '\0';
		manager_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes +
					    (path[0] == '/'));
	} else if (bytes > 0) {
		loam_warn("service.notify", "problem=%s", "NOTIFY_SOCKET is no Unix socket");
	}
	unsetenv("NOTIFY_SOCKET");
}

static void tell(const char *message)
{
	if (manager_bytes == 0)
		return;
	loam_auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, message, strlen(message), MSG_NOSIGNAL,
			     (const struct sockaddr *)&manager, manager_bytes) < 0)
		loam_warn("service.notify", "problem=%s", strerror(errno));
}

void loam_service_ready(const char *status, ...)
{
	char message[LOAM_SERVICE_STATUS_MAX];
	int head = snprintf(message, sizeof(message), "READY=1\nSTATUS=");
	va_list args;
	va_start(args, status);
	vsnprintf(message + head, sizeof(message) - (size_t)head, status, args);
	va_end(args);
	tell(message);
}

void loam_service_stopping(void)
{
	tell("STOPPING=1\nSTATUS=ending what runs");
}
