/*
 * Every bound of Loam that is not a configuration key, in one place (reliability.md §3 rule 12).
 */
#ifndef LOAM_CORE_LIMITS_H
#define LOAM_CORE_LIMITS_H

/* HTTP */
#define LOAM_HTTP_HEADER_BYTES_MAX (32u << 10)
#define LOAM_HTTP_HEADER_LINES_MAX 100
#define LOAM_HTTP_LINE_BYTES_MAX   (8u << 10)
#define LOAM_HTTP_HEAD_SECONDS	   10  /* headers complete within */
#define LOAM_HTTP_IDLE_SECONDS	   300 /* a body that brings no byte */
#define LOAM_HTTP_PER_ADDRESS_MAX  64  /* unfinished requests of one address */
#define LOAM_HTTP_DRAIN_MS	   1000
#define LOAM_JSON_BYTES_MAX	   (4u << 20)
#define LOAM_JSON_DEPTH_MAX	   64

/* Git */
#define LOAM_GIT_REQUEST_BYTES_MAX (10ull << 20) /* upload-pack request, inflated */
#define LOAM_GIT_PUSH_BYTES_MAX	   (4ull << 30)
#define LOAM_GIT_PUSH_REFS_MAX	   5000
#define LOAM_GIT_BLOB_BYTES_MAX	   (100ull << 20)
#define LOAM_GIT_CHILDREN_MAX	   8 /* per principal */
#define LOAM_GIT_TREE_ENTRIES_MAX  1000000
#define LOAM_GIT_PATH_DEPTH_MAX	   100

/* LFS */
#define LOAM_LFS_BATCH_OBJECTS_MAX 1000
#define LOAM_LFS_OBJECT_BYTES_MAX  (1ull << 44) /* 16 TiB */
#define LOAM_LFS_LINK_SECONDS	   43200
#define LOAM_LFS_TRANSFERS_MAX	   32 /* per principal */
#define LOAM_POINTER_BYTES_MAX	   1024
#define LOAM_LFS_LOCKS_MAX	   10000 /* of one repository */
#define LOAM_LFS_LOCKS_PAGE	   100

/* API */
#define LOAM_API_CALLS_PER_MINUTE 1200 /* and principal */
#define LOAM_LOGINS_MAX		  64   /* of a user of this machine, at servers */

/* Volume */
#define LOAM_NAME_BYTES_MAX	   255
#define LOAM_PATH_BYTES_MAX	   4096
#define LOAM_SYMLINK_BYTES_MAX	   4095
#define LOAM_DIR_ENTRIES_MAX	   (1u << 24) /* of one directory, listed at once */
#define LOAM_XATTR_NAME_BYTES_MAX  255
#define LOAM_XATTR_VALUE_BYTES_MAX 65536
#define LOAM_CHUNK_BYTES	   (64u << 20)
#define LOAM_META_DEADLINE_MS	   25000 /* so that a request ends within 30 s */
#define LOAM_BLOCK_DEADLINE_MS	   60000
#define LOAM_TXN_ATTEMPTS_MAX	   50
#define LOAM_ACL_ENTRIES_MAX	   500 /* named entries of a gate */
#define LOAM_NS_GRANTS_MAX	   200 /* of a namespace; each of its gates carries them */

/* Accounts */
#define LOAM_PASSWORD_BYTES_MIN	    12
#define LOAM_PASSWORD_BYTES_MAX	    1024
#define LOAM_ACCOUNT_LINE_BYTES_MAX 4096
#define LOAM_ACCOUNT_FILE_BYTES_MAX (64u << 20)
#define LOAM_USER_NAME_BYTES_MAX    32
#define LOAM_GROUP_MEMBERS_MAX	    2000
#define LOAM_GROUP_LINE_BYTES_MAX   (80u << 10) /* 2,000 names of 32 bytes, and the rest */
#define LOAM_USER_GROUPS_MAX	    256
#define LOAM_REPO_SEGMENT_BYTES_MAX 96
/* Looks at the account files before an answer no (auth/account_store.h) */
#define LOAM_ACCOUNT_LOOKS_PER_SECOND  4u
#define LOAM_ACCOUNT_LOOKS_AT_ONCE     8u /* after a quiet while */
#define LOAM_ACCOUNT_LOOKS_WAITING_MAX 32u

/* SSH */
#define LOAM_SSH_COMMAND_BYTES_MAX 8192
#define LOAM_SSH_WORDS_MAX	   64
#define LOAM_SSH_SESSIONS_MAX	   128 /* at once, of all callers */
#define LOAM_SSH_SESSIONS_EACH	   32  /* of an account, or of a namespace's deploy keys */
#define LOAM_SSH_KEYS_MAX	   100 /* of one user, or of one repository */

/* Hook channel */
#define LOAM_HOOK_LINE_BYTES_MAX  (1u << 20)
#define LOAM_HOOK_PAIRS_MAX	  1000
#define LOAM_HOOK_UPDATES_MAX	  200 /* refs of 4 KiB fit a line */
#define LOAM_HOOK_PUBLISH_SECONDS 60

#endif
