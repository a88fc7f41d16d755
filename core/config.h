/*
 * The configuration: one file in Git's own syntax, read through libgit2, checked against one table.
 *
 * An unknown or duplicate key, a value out of bounds, a NUL, an include, a file over 1 MiB, or one
 * that holds a secret (meta.url with a password) and that others may read: refused with file and
 * key. Order: environment LOAM_CONFIG names the file, else /etc/loam/loam.conf when it exists, else
 * defaults. META from the command line, then LOAM_META, then meta.url.
 */
#ifndef LOAM_CORE_CONFIG_H
#define LOAM_CORE_CONFIG_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

/* text:   X_TEXT(field, "section.key", default, help)
 * number: X_NUMBER(field, "section.key", default, min, max, unit, help)
 * flag:   X_FLAG(field, "section.key", default, help)                                    */
#define LOAM_CONFIG(X_TEXT, X_NUMBER, X_FLAG)                                                \
	X_TEXT(meta_url, "meta.url", "",                                                     \
	       "volume: redis://[:pw@]host:port/db or unix:///sock?db=0")                    \
	X_TEXT(meta_durability, "meta.durability", "strict",                                 \
	       "strict, or weak: accept a Redis that may forget its last second")            \
	X_TEXT(server_url, "server.url", "", "URL that clients use, for links in answers")   \
	X_TEXT(server_listen, "server.listen", "127.0.0.1:8418", "address and port of HTTP") \
	X_TEXT(server_repos, "server.repos", "/var/lib/loam/git",                            \
	       "directory of bare repositories")                                             \
	X_TEXT(server_run_as, "server.runAs", "",                                            \
	       "account of serve and git: a name, a number, or root (the service's, 20000)") \
	X_TEXT(server_cache_dir, "server.cacheDir", "",                                      \
	       "node cache of serve, of its account; none: blocks are read from the store")  \
	X_TEXT(server_tls_cert, "server.tlsCert", "", "PEM certificate chain")               \
	X_TEXT(server_tls_key, "server.tlsKey", "", "PEM private key")                       \
	X_FLAG(server_plain_http, "server.plainHttp", false,                                 \
	       "take passwords over plain HTTP from other hosts too")                        \
	X_TEXT(server_trusted_proxy, "server.trustedProxy", "",                              \
	       "addresses whose X-Forwarded-* count, separated by blanks")                   \
	X_NUMBER(server_workers, "server.workers", 64, 1, 1024, "connections",               \
		 "connections served at once")                                               \
	X_TEXT(ssh_listen, "ssh.listen", "127.0.0.1:8422",                                   \
	       "address and port of the sshd of loam up; off: none")                         \
	X_TEXT(ssh_user, "ssh.user", "loam", "account that SSH sessions run as")             \
	X_TEXT(ssh_keys_user, "ssh.keysUser", "nobody",                                      \
	       "account of the host as which sshd asks for keys")                            \
	X_TEXT(ssh_url, "ssh.url", "", "URL over SSH: ssh://loam@HOST[:PORT]")               \
	X_TEXT(tree_root, "tree.root", "/",                                                  \
	       "directory of the volume that Loam's tree lives under")                       \
	X_TEXT(cache_dir, "cache.dir", "/var/cache/loam", "directory of the node cache")     \
	X_NUMBER(cache_size_mib, "cache.sizeMiB", 10240, 64, 1048576, "MiB",                 \
		 "size of the node cache")                                                   \
	X_NUMBER(lfs_staging_seconds, "lfs.stagingSeconds", 3600, 1, 604800, "s",            \
		 "life of a staging directory after its last sign of life")                  \
	X_TEXT(audit_path, "audit.path", "",                                                 \
	       "audit log; empty: log/audit.log beside this file, else in /var/log/loam, "   \
	       "where there is such a directory; off: none")                                 \
	X_NUMBER(audit_max_mib, "audit.maxMiB", 64, 1, 65536, "MiB",                         \
		 "size at which the audit log is rotated")                                   \
	X_NUMBER(audit_keep, "audit.keep", 16, 1, 1000, "files", "rotated audit logs that are kept")

struct loam_config {
#define X_TEXT(field, key, def, help)			char *field;
#define X_NUMBER(field, key, def, min, max, unit, help) uint64_t field;
#define X_FLAG(field, key, def, help)			bool field;
	LOAM_CONFIG(X_TEXT, X_NUMBER, X_FLAG)
#undef X_TEXT
#undef X_NUMBER
#undef X_FLAG
	char *path; /* file it was read from, NULL when none */
};

/* Reads the file that LOAM_CONFIG or the default path names; path overrides both when not NULL. */
int loam_config_load(const char *path, struct loam_config **out_config, struct loam_err *err);
void loam_config_free(struct loam_config *config);
/* The volume's URL: argument, else LOAM_META, else meta.url. INVALID with what to do when none. */
int loam_config_meta(const struct loam_config *config, const char *argument, const char **out_url,
		     struct loam_err *err);

#endif
