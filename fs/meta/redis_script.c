/*
 * The compare-and-write script: a commit in one round trip (design.md §4; steps 4 and 8 of a push).
 *
 * ARGV of the commit script, all flat:
 *
 *   count of checks
 *   per check:    letter  key  field  "1" present | "0" absent  expected value
 *   marker field  marker number
 *   per command:  count of words  words …
 *
 *   letters: G GET  H HGET  Z ZSCORE  S SISMEMBER  E EXISTS  L LRANGE joined  A HGETALL (packed
 * pairs)
 *
 * Reply: [0, index, value, index, value …] for checks that differ, all of them; or [1, result …]
 * with the numbers of the commands that have one, as text (Lua's numbers end at 2^53). Nothing is
 * written before every check has held and every key to be changed has been found to have the right
 * type. The first write can be refused for want of memory (OOM); once a script has written, Redis
 * refuses no more: removals come first, hence they work on a full server, and the marker comes
 * last. A later error, which should not happen, is reported as LOAMPART.
 *
 * EVALSHA is used; after NOSCRIPT the same call is made by EVAL, which loads the script again.
 */
#include "fs/meta/redis_engine.h"

#include <string.h>

static const char commit_script[] =
	"local a,call,pcall=ARGV,redis.call,redis.pcall\n"
	"local i,diff=2,{0}\n"
	"for c=1,tonumber(a[1]) do\n"
	"  local op,k,there,want,v,same=a[i],a[i+1],a[i+3],a[i+4]\n"
	"  if op=='G' then v=pcall('GET',k)\n"
	"  elseif op=='H' then v=pcall('HGET',k,a[i+2])\n"
	"  elseif op=='Z' then v=pcall('ZSCORE',k,a[i+2])\n"
	"  elseif op=='S' then v=pcall('SISMEMBER',k,a[i+2]) if v==1 then v='1' elseif v==0 then "
	"v=false end\n"
	"  elseif op=='E' then v=call('EXISTS',k)==1 and '1'\n"
	"  elseif op=='L' then v=pcall('LRANGE',k,0,-1) if not v.err then\n"
	"    v=#v>0 and table.concat(v) end\n"
	"  else v=pcall('HGETALL',k) end\n"
	"  if type(v)=='table' and v.err then return v end\n"
	"  if op=='A' then\n"
	"    local seen,n,at={},0,1\n"
	"    while at<=#want do local f,x f,x,at=struct.unpack('>I4c0I4c0',want,at)\n"
	"      seen[f]=x n=n+1 end\n"
	"    same=#v==2*n\n"
	"    for j=1,#v,2 do if seen[v[j]]~=v[j+1] then same=false end end\n"
	"  elseif there=='1' then same=v==want else same=not v end\n"
	"  if not same then diff[#diff+1]=c diff[#diff+1]=v end\n"
	"  i=i+5\n"
	"end\n"
	"if #diff>1 then return diff end\n"
	"local first,last=i+2,#a\n"
	"if first>last then return {1} end\n"
	"local types={HSET='hash',HDEL='hash',HINCRBY='hash',RPUSH='list',RPUSHX='list',\n"
	"  ZADD='zset',ZREM='zset',SADD='set',SREM='set',INCRBY='string'}\n"
	"local j=first\n"
	"while j<=last do\n"
	"  local cmd,k=a[j+1],a[j+2]\n"
	"  local t=types[cmd]\n"
	"  if t then\n"
	"    local is=call('TYPE',k).ok\n"
	"    if is~=t and is~='none' then return redis.error_reply('WRONGTYPE of a key to be "
	"changed: '..k) end\n"
	"    if (cmd=='INCRBY' or cmd=='HINCRBY') and is==t then\n"
	"      local n if cmd=='INCRBY' then n=call('GET',k) else n=call('HGET',k,a[j+3]) end\n"
	"      if n and not string.match(n,'^-?%d+$') then\n"
	"        return redis.error_reply('ERR value is not an integer: '..k) end\n"
	"    end\n"
	"  end\n"
	"  j=j+tonumber(a[j])+1\n"
	"end\n"
	"local out,dirty={1},false\n"
	"j=first\n"
	"while j<=last do\n"
	"  local n,cmd=tonumber(a[j]),a[j+1]\n"
	"  local r=pcall(unpack(a,j+1,j+n))\n"
	"  if type(r)=='table' and r.err then\n"
	"    if dirty then return redis.error_reply('LOAMPART '..r.err) end\n"
	"    return r\n"
	"  end\n"
	"  dirty=true\n"
	"  if cmd=='INCRBY' or cmd=='HINCRBY' or cmd=='RPUSH' or cmd=='RPUSHX' then\n"
	"    if r<9007199254740992 and r>-9007199254740992 then r=string.format('%.0f',r)\n"
	"    elseif cmd=='INCRBY' then r=call('GET',a[j+2])\n"
	"    else r=call('HGET',a[j+2],a[j+3]) end\n"
	"    out[#out+1]=r\n"
	"  end\n"
	"  j=j+n+1\n"
	"end\n"
	"local mark=a[i+1]\n"
	"if #out<=65 then mark=mark..' '..table.concat(out,' ',2) end\n"
	"call('HSET','loam:txn',a[i],mark)\n"
	"return out\n";

/*
 * KEYS[1] d<parent>, ARGV[1] name. Reply: nil, or [dentry, attr or nil]. The inode (8 bytes behind
 * the type) is printed exactly: below 2^53 by a double, else by long division of 16-bit limbs.
 */
static const char lookup_script[] =
	"local d=redis.pcall('HGET',KEYS[1],ARGV[1])\n"
	"if not d then return false end\n"
	"if type(d)=='table' then return d end\n"
	"if #d~=9 then return {d,false} end\n"
	"local hi,lo=struct.unpack('>I4I4',d,2)\n"
	"local ino\n"
	"if hi<2097152 then ino=string.format('%.0f',hi*4294967296+lo)\n"
	"else\n"
	"  local l={math.floor(hi/65536),hi%65536,math.floor(lo/65536),lo%65536}\n"
	"  local parts={}\n"
	"  for g=1,3 do\n"
	"    local rem=0\n"
	"    for k=1,4 do\n"
	"      local v=rem*65536+l[k]\n"
	"      l[k]=math.floor(v/1000000000) rem=v%1000000000\n"
	"    end\n"
	"    parts[g]=rem\n"
	"  end\n"
	"  ino=string.format('%.0f%09.0f%09.0f',parts[3],parts[2],parts[1])\n"
	"  ino=string.gsub(ino,'^0+','')\n"
	"end\n"
	"local v=redis.pcall('GET','i'..ino)\n"
	"if type(v)=='table' and v.err then return v end\n"
	"return {d,v}\n";

/* Calls a loaded script, or its text when the server has forgotten it. words are what follows the
 * script in EVALSHA. Transport errors only; an error reply is a reply. */
static int call_script(struct loam_redis_conn *conn, const char *sha, const char *script,
		       struct loam_resp_args *args, struct loam_deadline deadline,
		       struct loam_resp_replies *out, struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	for (unsigned round = 0;; round++) {
		loam_auto_replies struct loam_resp_replies replies = { 0 };
		args->values[0] = round ? "EVAL" : "EVALSHA";
		args->sizes[0] = strlen(args->values[0]);
		args->values[1] = round ? script : sha;
		args->sizes[1] = strlen(args->values[1]);
		loam_resp_batch_clear(&batch);
		int rc = loam_resp_batch_add(&batch, args, err);
		if (rc == 0)
			rc = loam_resp_ask(conn->resp, &batch, deadline, &replies, err);
		if (rc < 0)
			return rc;
		if (round == 0 && loam_resp_is_error(replies.items[0], "NOSCRIPT"))
			continue;
		*out = replies;
		replies = (struct loam_resp_replies){ 0 };
		return 0;
	}
}

static void begin_script(struct loam_resp_args *args, const char *key_count)
{
	loam_resp_arg_word(args, ""); /* EVALSHA or EVAL */
	loam_resp_arg_word(args, ""); /* name or text */
	loam_resp_arg_word(args, key_count);
}

static int load(struct loam_redis *redis, const char *script, char out_sha[41],
		struct loam_err *err)
{
	loam_auto_batch struct loam_resp_batch batch = LOAM_RESP_BATCH;
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	int rc = loam_resp_batch_words(&batch, err, "SCRIPT", "LOAD", script, NULL);
	if (rc == 0)
		rc = loam_redis_pool_ask(redis->pool, &batch, loam_deadline_in(redis->deadline_ms),
					 &replies, err);
	if (rc < 0)
		return rc;
	const struct loam_resp_reply *sha = replies.items[0];
	if (sha->type != LOAM_RESP_STRING || sha->bytes != 40)
		return 0;
	memcpy(out_sha, sha->data, 41);
	return 1;
}

int loam_redis_script_probe(struct loam_redis *redis, struct loam_err *err)
{
	int rc = load(redis, commit_script, redis->commit_sha, err);
	return rc == 1 ? load(redis, lookup_script, redis->lookup_sha, err) : rc;
}

/* --- lookup */

static int lookup_once(struct loam_redis *redis, struct loam_resp_args *args,
		       struct loam_deadline deadline, struct loam_resp_replies *out,
		       struct loam_err *err)
{
	struct loam_redis_conn *conn;
	int rc = loam_redis_pool_take(redis->pool, deadline, &conn, err);
	if (rc < 0)
		return rc;
	rc = call_script(conn, redis->lookup_sha, lookup_script, args, deadline, out, err);
	loam_redis_pool_give(redis->pool, conn);
	return rc;
}

static int take_lookup(const struct loam_resp_reply *reply, uint64_t parent, struct loam_name name,
		       struct loam_value *out_dentry, struct loam_value *out_attr,
		       struct loam_err *err)
{
	const struct loam_record dentry = { .kind = LOAM_REC_DENTRY, .id = parent, .name = name };
	struct loam_value first = { 0 }, second = { 0 };
	char shown[LOAM_REDIS_SHOWN_BYTES];
	if (reply->type == LOAM_RESP_NIL)
		return 0;
	if (reply->type == LOAM_RESP_ERROR)
		return loam_redis_fail(reply, err, "look up %s", loam_redis_shown(&dentry, shown));
	if (reply->type != LOAM_RESP_ARRAY || reply->count != 2)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to a lookup");
	int rc = loam_redis_value_of(&dentry, reply->items[0], &first, err);
	if (rc < 0)
		return rc;
	const struct loam_record attr = { .kind = LOAM_REC_ATTR };
	rc = loam_redis_value_of(&attr, reply->items[1], &second, err);
	if (rc < 0) {
		loam_value_release(&first);
		return rc;
	}
	*out_dentry = first;
	*out_attr = second;
	return 1;
}

int loam_redis_script_lookup(struct loam_redis *redis, uint64_t parent, struct loam_name name,
			     struct loam_value *out_dentry, struct loam_value *out_attr,
			     struct loam_err *err)
{
	struct loam_deadline deadline = loam_deadline_in(redis->deadline_ms);
	loam_auto_args struct loam_resp_args args = { 0 };
	begin_script(&args, "1");
	loam_resp_arg_format(&args, "d%llu", (unsigned long long)parent);
	loam_resp_arg(&args, name.data, name.bytes);
	for (unsigned attempt = 0;; attempt++) {
		loam_auto_replies struct loam_resp_replies replies = { 0 };
		int rc = lookup_once(redis, &args, deadline, &replies, err);
		if (rc == 0 && !loam_redis_is_passing(replies.items[0]))
			return take_lookup(replies.items[0], parent, name, out_dentry, out_attr,
					   err);
		if (rc < 0 && err->code != LOAM_E_UNAVAILABLE)
			return rc;
		if (!loam_redis_pause(attempt, deadline))
			return rc < 0 ? rc : loam_redis_fail(replies.items[0], err, "look up");
		loam_err_clear(err);
	}
}

/* --- commit */

static void add_check(struct loam_resp_args *args, const struct loam_check *check)
{
	static const char *const letters[] = {
		[LOAM_SHAPE_STRING] = "G", [LOAM_SHAPE_FIELD] = "H", [LOAM_SHAPE_FIELDS] = "A",
		[LOAM_SHAPE_EXISTS] = "E", [LOAM_SHAPE_LIST] = "L",  [LOAM_SHAPE_SCORE] = "Z",
		[LOAM_SHAPE_MEMBER] = "S",
	};
	loam_resp_arg_word(args, letters[loam_redis_shape_of(check->record.kind)]);
	loam_redis_key_add(args, &check->record);
	loam_redis_field_add(args, &check->record);
	loam_resp_arg_word(args, check->expected.present ? "1" : "0");
	loam_resp_arg(args, check->expected.data,
		      check->expected.present ? check->expected.bytes : 0);
}

static void build_commit(struct loam_redis_commit *commit, struct loam_resp_args *args)
{
	begin_script(args, "0");
	loam_resp_arg_format(args, "%zu", commit->check_count);
	for (size_t i = 0; i < commit->check_count; i++)
		add_check(args, &commit->checks[i]);
	loam_resp_arg_word(args, commit->field);
	loam_resp_arg_format(args, "%llu", (unsigned long long)commit->number);
	loam_redis_plan_rewind(&commit->plan);
	for (;;) {
		bool has_result;
		int64_t *result;
		size_t at = args->count;
		loam_resp_arg_word(args, ""); /* the count of words, below */
		if (!loam_redis_plan_next(&commit->plan, args, &has_result, &result)) {
			args->count = at;
			return;
		}
		loam_resp_arg_set_number(args, at, args->count - at - 1);
	}
}

static int take_differences(struct loam_redis_commit *commit, const struct loam_resp_reply *reply,
			    struct loam_err *err)
{
	for (size_t i = 1; i + 1 < reply->count; i += 2) {
		int64_t index = reply->items[i]->integer;
		if (reply->items[i]->type != LOAM_RESP_INTEGER || index < 1 ||
		    (uint64_t)index > commit->check_count)
			return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to a commit");
		int rc = loam_redis_commit_differs(commit, (size_t)index - 1, reply->items[i + 1],
						   err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The reply's results go to the writes of phase 1, in the plan's order. */
static int take_results(struct loam_redis_commit *commit, const struct loam_resp_reply *reply,
			struct loam_err *err)
{
	loam_auto_args struct loam_resp_args unused = { 0 };
	bool has_result;
	int64_t *result;
	size_t at = 1;
	loam_redis_plan_rewind(&commit->plan);
	while (loam_redis_plan_next(&commit->plan, &unused, &has_result, &result)) {
		loam_resp_args_clear(&unused);
		if (!has_result)
			continue;
		if (at >= reply->count || reply->items[at]->type != LOAM_RESP_STRING)
			return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to a commit");
		if (result)
			*result = strtoll(reply->items[at]->data, NULL, 10);
		at++;
	}
	commit->results_known = true;
	return 1;
}

int loam_redis_script_commit(struct loam_redis *redis, struct loam_redis_conn *conn,
			     struct loam_redis_commit *commit, struct loam_err *err)
{
	loam_auto_args struct loam_resp_args args = { 0 };
	loam_auto_replies struct loam_resp_replies replies = { 0 };
	struct loam_deadline deadline = loam_redis_reply_deadline(redis, commit);
	build_commit(commit, &args);
	int rc =
		call_script(conn, redis->commit_sha, commit_script, &args, deadline, &replies, err);
	if (rc < 0)
		return err->code == LOAM_E_UNAVAILABLE ? LOAM_REDIS_LOST : rc;

	const struct loam_resp_reply *reply = replies.items[0];
	if (reply->type == LOAM_RESP_ERROR) {
		rc = loam_redis_fail(reply, err, "commit");
		return loam_redis_is_passing(reply) ? LOAM_REDIS_AGAIN : rc;
	}
	if (reply->type != LOAM_RESP_ARRAY || reply->count == 0 ||
	    reply->items[0]->type != LOAM_RESP_INTEGER)
		return loam_fail(err, LOAM_E_IO, "redis: an unexpected reply to a commit");
	return reply->items[0]->integer == 0 ? take_differences(commit, reply, err)
					     : take_results(commit, reply, err);
}
