/*
 * POST …/info/lfs/objects/batch: what shall be done with each object (step 3 of a push).
 *
 * Rules (protocols.md B.4, B.9, E): one entry for each requested object, in order, its oid as it
 * came; whatever is wrong with one object is said in its entry, inside a 200. Only what this
 * repository holds is there: for everything else a download gets 404 and an upload gets its links,
 * whatever the pool has. Right, kinds of values and number of objects are the call's own matter.
 */
#include "auth/audit.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/json.h"
#include "lfs/lfs_internal.h"
#include "lfs/ref.h"

#include <inttypes.h>
#include <string.h>

struct wanted {
	const json_t *oid, *size; /* as they came; size NULL: none */
	struct loam_object object;
	uint64_t bytes;
	int status; /* 0, or that of the entry's error */
	const char *text;
};

struct call {
	struct loam_lfs_caller caller;
	json_t *json;
	bool is_upload;
	struct wanted *wanted;
	size_t count;
	uint64_t avail_bytes, avail_inodes; /* what the volume's limits leave */
};

/* ---- reading the call ------------------------------------------------------------------------ */

static int begin(struct loam_web_request *request, struct loam_err *err)
{
	struct call *call = loam_xnew(struct call);
	request->state = call;
	return loam_lfs_caller(request, LOAM_WANT_READ, &call->caller, err);
}

static void end(struct loam_web_request *request)
{
	struct call *call = request->state;
	if (!call)
		return;
	json_decref(call->json);
	free(call->wanted);
	free(call);
	request->state = NULL;
}

static int read_operation(struct call *call, struct loam_err *err)
{
	const char *operation = NULL;
	int rc = loam_json_text(call->json, "operation", &operation, err);
	if (rc < 0)
		return rc;
	call->is_upload = operation && strcmp(operation, "upload") == 0;
	if (!call->is_upload && (!operation || strcmp(operation, "download") != 0))
		return loam_fail(err, LOAM_E_UNPROCESSABLE,
				 "'operation' is neither \"upload\" nor \"download\"");
	return 0;
}

/* No list is the basic transfer. */
static int check_transfers(const struct call *call, struct loam_err *err)
{
	const json_t *transfers = json_object_get(call->json, "transfers"), *name;
	size_t i;
	if (!transfers || json_is_null(transfers))
		return 0;
	if (!json_is_array(transfers))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'transfers' is no list");
	json_array_foreach (transfers, i, name) {
		if (!json_is_string(name))
			return loam_fail(err, LOAM_E_UNPROCESSABLE,
					 "'transfers' is no list of names");
		if (strcmp(json_string_value(name), "basic") == 0)
			return 0;
	}
	if (json_array_size(transfers) == 0)
		return 0;
	return loam_fail(err, LOAM_E_UNPROCESSABLE, "only the transfer \"basic\" is served");
}

/* "sha_256" is how one client spells it. 1 ours, 0 another. */
static int is_our_hash(const struct call *call, struct loam_err *err)
{
	const char *name = NULL;
	int found = loam_json_text(call->json, "hash_algo", &name, err);
	if (found <= 0)
		return found < 0 ? found : 1;
	return name[0] == '\0' || strcmp(name, "sha256") == 0 || strcmp(name, "sha_256") == 0;
}

static void refuse(struct wanted *wanted, int status, const char *text)
{
	if (wanted->status)
		return;
	wanted->status = status;
	wanted->text = text;
}

static int read_object(struct call *call, const json_t *given, struct wanted *wanted,
		       struct loam_err *err)
{
	wanted->oid = json_object_get(given, "oid");
	wanted->size = json_object_get(given, "size");
	if (!json_is_object(given) || !json_is_string(wanted->oid))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "an object without a text 'oid'");
	wanted->object.oid = json_string_value(wanted->oid);
	if (json_string_length(wanted->oid) != LOAM_SHA256_HEX ||
	    !loam_oid_is_valid(wanted->object.oid))
		refuse(wanted, 422, "the oid is not 64 lower-case hexadecimal digits");
	if (!json_is_integer(wanted->size) || json_integer_value(wanted->size) < 0)
		refuse(wanted, 422, "the size is no whole number from 0");
	if (wanted->status)
		return 0;
	wanted->bytes = (uint64_t)json_integer_value(wanted->size);
	if (call->is_upload && wanted->bytes > LOAM_LFS_OBJECT_BYTES_MAX)
		refuse(wanted, 422, "the object is larger than this server takes (16 TiB)");
	return 0;
}

static int read_objects(struct call *call, struct loam_err *err)
{
	const json_t *objects = json_object_get(call->json, "objects"), *given;
	size_t i;
	if (!json_is_array(objects) || json_array_size(objects) == 0)
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "'objects' is no list of objects");
	if (json_array_size(objects) > LOAM_LFS_BATCH_OBJECTS_MAX)
		return loam_fail(err, LOAM_E_TOO_LARGE, "%zu objects in one call, at most %d",
				 json_array_size(objects), LOAM_LFS_BATCH_OBJECTS_MAX);
	call->count = json_array_size(objects);
	call->wanted = loam_xcalloc(call->count, sizeof(*call->wanted));
	json_array_foreach (objects, i, given) {
		int rc = read_object(call, given, &call->wanted[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_call(const struct loam_web_request *request, struct call *call,
		     struct loam_err *err)
{
	int rc =
		loam_json_parse_with_nul(request->body.data, request->body.bytes, &call->json, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(call->json))
		return loam_fail(err, LOAM_E_UNPROCESSABLE, "the call is no JSON object");
	rc = read_operation(call, err);
	if (rc == 0)
		rc = read_objects(call, err);
	if (rc == 0)
		rc = check_transfers(call, err);
	if (rc == 0)
		rc = loam_lfs_ref_check(call->json, err);
	if (rc < 0)
		return rc;
	rc = is_our_hash(call, err);
	for (size_t i = 0; rc == 0 && i < call->count; i++)
		refuse(&call->wanted[i], 409, "objects are named by their SHA-256 here");
	return rc < 0 ? rc : 0;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static int compare_oids(const void *a, const void *b)
{
	const struct wanted *const *left = a, *const *right = b;
	return strcmp((*left)->object.oid, (*right)->object.oid);
}

/* One oid with two sizes: which is meant? Neither. sorted: those without an error so far. */
static void refuse_ambiguous(struct wanted **sorted, size_t count)
{
	qsort(sorted, count, sizeof(*sorted), compare_oids);
	for (size_t i = 0, next; i < count; i = next) {
		bool differs = false;
		for (next = i + 1; next < count && compare_oids(&sorted[i], &sorted[next]) == 0;
		     next++)
			differs |= sorted[next]->bytes != sorted[i]->bytes;
		for (size_t k = i; differs && k < next; k++)
			refuse(sorted[k], 422, "the oid stands in this call with several sizes");
	}
}

static int find_objects(const struct loam_lfs *lfs, struct call *call, struct loam_err *err)
{
	loam_auto_free struct wanted **valid = loam_xcalloc(call->count, sizeof(*valid));
	loam_auto_free struct loam_object *objects = loam_xcalloc(call->count, sizeof(*objects));
	size_t count = 0;
	for (size_t i = 0; i < call->count; i++)
		if (!call->wanted[i].status)
			valid[count++] = &call->wanted[i];
	refuse_ambiguous(valid, count);
	for (size_t i = 0; i < count; i++)
		objects[i] = valid[i]->object;
	int rc = count ? loam_objects_find(lfs->tree, &call->caller.repo, objects, count, err) : 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		valid[i]->object = objects[i];
	return rc;
}

/* What has not been promised to an object before it in this call. */
static void reserve(struct call *call, struct wanted *wanted)
{
	if (call->avail_inodes == 0)
		refuse(wanted, 507, "the volume's limit of files is reached");
	else if (wanted->bytes > call->avail_bytes)
		refuse(wanted, 507, "the volume's capacity leaves no room for this object");
	if (wanted->status)
		return;
	call->avail_inodes--;
	call->avail_bytes -= wanted->bytes;
}

static int decide(const struct loam_lfs *lfs, struct call *call, struct loam_err *err)
{
	int rc = find_objects(lfs, call, err);
	if (rc < 0)
		return rc;
	struct loam_statfs space = { 0 };
	if (call->is_upload)
		rc = loam_meta_statfs(lfs->tree->volume->meta, &space, err);
	if (rc < 0)
		return rc;
	call->avail_bytes = space.avail_bytes;
	call->avail_inodes = space.avail_inodes;
	for (size_t i = 0; i < call->count; i++) {
		struct wanted *wanted = &call->wanted[i];
		bool held = !wanted->status && wanted->object.held;
		if (!call->is_upload && !held)
			refuse(wanted, 404, "Object does not exist");
		else if (call->is_upload && held && wanted->object.bytes != wanted->bytes)
			refuse(wanted, 422, "the object is here and has another size");
		else if (call->is_upload && !held && !wanted->status)
			reserve(call, wanted);
	}
	return 0;
}

/* ---- answering ------------------------------------------------------------------------------- */

static json_t *action(const struct loam_web_request *request, const struct call *call,
		      const struct wanted *wanted, unsigned method)
{
	const struct loam_principal *who = &call->caller.who;
	struct loam_link link = { .method = method,
				  .repo = call->caller.repo,
				  .bytes = wanted->object.held ? wanted->object.bytes
							       : wanted->bytes,
				  .expires = loam_clock_now().tv_sec + LOAM_LFS_LINK_SECONDS };
	memcpy(link.oid, wanted->object.oid, sizeof(link.oid));
	snprintf(link.user, sizeof(link.user), "%s", who->user);
	snprintf(link.token_id, sizeof(link.token_id), "%s", who->token_id);
	loam_auto_free char *href =
		loam_link_print(loam_lfs_of(request)->keys, request->base_url, &link);
	return json_pack("{s:s,s:i}", "href", href, "expires_in", LOAM_LFS_LINK_SECONDS);
}

static json_t *entry(const struct loam_web_request *request, const struct call *call,
		     const struct wanted *wanted)
{
	json_t *entry = json_object();
	json_t *size = wanted->object.held && !call->is_upload
			       ? json_integer((json_int_t)wanted->object.bytes)
			       : json_integer(json_integer_value(wanted->size));
	json_object_set(entry, "oid", (json_t *)wanted->oid);
	json_object_set_new(entry, "size", size);
	if (wanted->status) {
		json_object_set_new(entry, "error",
				    json_pack("{s:i,s:s}", "code", wanted->status, "message",
					      wanted->text));
		return entry;
	}
	json_object_set_new(entry, "authenticated", json_true());
	if (call->is_upload && wanted->object.held)
		return entry;
	json_t *actions = json_object();
	if (call->is_upload) {
		json_object_set_new(actions, "upload", action(request, call, wanted, LOAM_PUT));
		json_object_set_new(actions, "verify", action(request, call, wanted, LOAM_POST));
	} else {
		json_object_set_new(actions, "download", action(request, call, wanted, LOAM_GET));
	}
	json_object_set_new(entry, "actions", actions);
	return entry;
}

/* One line for all objects of the call that were refused, with the first of them. */
static void audit_refused(const struct call *call)
{
	const struct wanted *first = NULL;
	struct loam_audit_entry entry = { .action = "lfs.batch",
					  .repo = &call->caller.repo,
					  .detail = call->is_upload ? "upload" : "download" };
	for (size_t i = call->count; i > 0; i--) {
		if (!call->wanted[i - 1].status)
			continue;
		first = &call->wanted[i - 1];
		entry.count++;
	}
	if (!first)
		return;
	struct loam_err err = { 0 };
	enum loam_code code = first->status == 404   ? LOAM_E_NOT_FOUND
			      : first->status == 507 ? LOAM_E_NO_SPACE
			      : first->status == 409 ? LOAM_E_CONFLICT
						     : LOAM_E_UNPROCESSABLE;
	entry.oid = first->object.oid && loam_oid_is_valid(first->object.oid) ? first->object.oid
									      : NULL;
	entry.status = (unsigned)first->status;
	loam_fail(&err, code, "%s", first->text);
	loam_audit(&entry, -(int)code, &err);
}

static int finish(struct loam_web_request *request, struct loam_err *err)
{
	struct call *call = request->state;
	int rc = read_call(request, call, err);
	if (rc == 0)
		rc = loam_lfs_caller_may_still(request, &call->caller,
					       call->is_upload ? LOAM_WANT_WRITE : LOAM_WANT_READ,
					       err);
	if (rc == 0)
		rc = decide(loam_lfs_of(request), call, err);
	if (rc < 0)
		return rc;
	loam_auto_json json_t *answer =
		json_pack("{s:s,s:[],s:s}", "transfer", "basic", "objects", "hash_algo", "sha256");
	json_t *objects = json_object_get(answer, "objects");
	for (size_t i = 0; i < call->count; i++)
		json_array_append_new(objects, entry(request, call, &call->wanted[i]));
	loam_web_set_header(request, "Cache-Control", "no-store");
	loam_web_answer_json(request, 200, LOAM_LFS_JSON_TYPE, answer);
	audit_refused(call);
	return 0;
}

const struct loam_web_handler loam_lfs_batch = {
	.action = "lfs.batch", .begin = begin, .finish = finish, .end = end
};
