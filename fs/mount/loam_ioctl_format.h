/*
 * What `loam clone` says to a mount: two ioctls on open descriptors (design.md §4).
 *
 * On a descriptor of the source LOAM_IOC_TICKET returns a ticket, bound to that inode and the
 * calling uid for LOAM_IOC_TICKET_SECONDS; on a descriptor of the target's directory LOAM_IOC_CLONE
 * makes the clone as the caller. Holding both descriptors is the proof of reach, so it works in
 * containers and below bind mounts. A signal ends it and leaves nothing.
 *
 * Shape:  native-endian, without padding; `reserved` and the bytes behind the name's NUL are zero.
 * Errors: EEXIST, EACCES, EROFS, ENOSPC, EDQUOT …; ESTALE for a ticket that is unknown, expired,
 * used or another user's; EINVAL for a bad name, flag or size; ENOTTY on another file system.
 */
#ifndef LOAM_FS_MOUNT_LOAM_IOCTL_FORMAT_H
#define LOAM_FS_MOUNT_LOAM_IOCTL_FORMAT_H

#include <stdint.h>
#include <sys/ioctl.h>

#define LOAM_IOC_TICKET_BYTES	32
#define LOAM_IOC_TICKET_SECONDS 10
#define LOAM_IOC_NAME_BYTES	256

enum loam_ioc_clone_flags {
	LOAM_IOC_CLONE_PRESERVE = 1 << 0, /* owner, mode and times of the source; root only */
	LOAM_IOC_CLONE_WRITABLE = 1 << 1  /* files that came from LFS become writable too */
};

struct loam_ioc_ticket {
	uint8_t bytes[LOAM_IOC_TICKET_BYTES];
};

struct loam_ioc_clone {
	uint8_t ticket[LOAM_IOC_TICKET_BYTES]; /* in */
	uint32_t flags;			       /* in: enum loam_ioc_clone_flags */
	uint32_t reserved;		       /* in: 0 */
	uint64_t files, dirs, bytes;	       /* out: what the clone holds */
	char name[LOAM_IOC_NAME_BYTES];	       /* in: NUL-terminated, at most 255 bytes */
};

#define LOAM_IOC_MAGIC	0xB7
#define LOAM_IOC_TICKET _IOR(LOAM_IOC_MAGIC, 1, struct loam_ioc_ticket)
#define LOAM_IOC_CLONE	_IOWR(LOAM_IOC_MAGIC, 2, struct loam_ioc_clone)

#endif
