/*
 * The old traps, closed: a use of one of these does not compile (warnings are errors). They are
 * marked, not poisoned, so that headers of the system may come before or after this one.
 *
 * Instead: snprintf, loam_buf, loam_parse_u64, strsep, strtok_r, loam_process_run, mkostemp.
 */
#ifndef LOAM_CORE_BANNED_H
#define LOAM_CORE_BANNED_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAM_BANNED(instead) __attribute__((deprecated("banned in Loam, use " instead)))

char *strcpy(char *to, const char *from) LOAM_BANNED("snprintf or loam_buf");
char *strcat(char *to, const char *from) LOAM_BANNED("snprintf or loam_buf");
char *strncat(char *to, const char *from, size_t bytes) LOAM_BANNED("snprintf or loam_buf");
int sprintf(char *to, const char *fmt, ...) LOAM_BANNED("snprintf");
int vsprintf(char *to, const char *fmt, va_list args) LOAM_BANNED("vsnprintf");
char *gets(char *to) LOAM_BANNED("getline");
int system(const char *command) LOAM_BANNED("loam_process_run");
FILE *popen(const char *command, const char *mode) LOAM_BANNED("loam_process_start");
char *strtok(char *text, const char *separators) LOAM_BANNED("strsep or strtok_r");
int atoi(const char *text) LOAM_BANNED("loam_parse_u64");
long atol(const char *text) LOAM_BANNED("loam_parse_u64");
long long atoll(const char *text) LOAM_BANNED("loam_parse_u64");
double atof(const char *text) LOAM_BANNED("strtod");
char *mktemp(char *pattern) LOAM_BANNED("mkostemp");

#endif
