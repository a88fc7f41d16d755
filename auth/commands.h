/*
 * The commands of auth/, for the table in server/main.c.
 */
#ifndef LOAM_AUTH_COMMANDS_H
#define LOAM_AUTH_COMMANDS_H

#include "core/cmd.h"
#include "core/json.h"

extern const struct loam_cmd loam_cmd_user_key_add, loam_cmd_user_key_list, loam_cmd_user_key_del,
	loam_cmd_repo_key_add, loam_cmd_repo_key_list, loam_cmd_repo_key_del;
extern const struct loam_cmd loam_cmd_user_add, loam_cmd_user_show, loam_cmd_user_list,
	loam_cmd_user_disable, loam_cmd_user_enable, loam_cmd_user_del, loam_cmd_user_password,
	loam_cmd_user_token, loam_cmd_group_add, loam_cmd_group_del, loam_cmd_group_show,
	loam_cmd_group_list, loam_cmd_group_member_add, loam_cmd_group_member_del,
	loam_cmd_namespace_create, loam_cmd_namespace_list, loam_cmd_namespace_owner,
	loam_cmd_namespace_show, loam_cmd_grant, loam_cmd_revoke, loam_cmd_login, loam_cmd_logout,
	loam_cmd_whoami, loam_cmd_credential;
extern const struct loam_cmd loam_cmd_audit;

extern const struct loam_cmd loam_cmd_node_enroll, loam_cmd_node_remove, loam_cmd_node_status,
	loam_cmd_user_import;

/* The line of `user show` and `user list`, from the JSON of an account. */
void loam_print_account(const json_t *account);

#endif
