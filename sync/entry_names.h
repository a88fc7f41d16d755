/*
 * Which names may stand in a Git tree here: one rule for what is pushed and what is published from
 * a directory.
 */
#ifndef LOAM_SYNC_ENTRY_NAMES_H
#define LOAM_SYNC_ENTRY_NAMES_H

/* NULL, or why this name of a file or directory may not. */
const char *loam_entry_name_refused(const char *name);

#endif
