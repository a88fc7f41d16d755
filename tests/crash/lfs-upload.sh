#!/bin/bash
# A second server on the same volume is killed at each step of an upload; the first one takes the retry.
# Each object is then held once, whole, and staging is empty again (reliability.md F01, F02, F03, L02, L03).
. "$(dirname "$0")/../stories/lib.sh.inc"
story "an upload killed at each of its steps"
start_up
git config -f "$LOAM_CONFIG" lfs.stagingSeconds 2
stop_up
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
second_port=$(free_port)
meta=$(git config -f "$LOAM_CONFIG" meta.url)
mkdir "$DIR/second-repos" # an upload needs no Git repository, and two servers do not share a folder
second_pid=

link() # BASE OID BYTES ACTION
{
	local operation=upload
	[ "$4" = download ] && operation=download
	curl -s -H "Authorization: Bearer $TOKEN_alice" -H 'Content-Type: application/vnd.git-lfs+json' \
		-d "{\"operation\":\"$operation\",\"objects\":[{\"oid\":\"$2\",\"size\":$3}]}" \
		"$1/team/model.git/info/lfs/objects/batch" |
		grep -o "\"$4\":{\"href\":\"[^\"]*\"" | cut -d'"' -f6
}
start_second() # FAILPOINT
{
	LOAM_FAILPOINT=$1:kill LOAM_FAILPOINT_LOG=$DIR/reached loam serve --meta "$meta" --repos "$DIR/second-repos" \
		--listen "127.0.0.1:$second_port" >"$DIR/second.out" 2>&1 &
	second_pid=$!
	local i
	for i in $(seq 100); do
		[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$second_port/healthz" || true)" = 200 ] &&
			return 0
		sleep 0.1
	done
	cat "$DIR/second.out" >&2
	fail "the second server is not healthy"
}

number=0
for point in lfs.upload.staged lfs.upload.first_block lfs.upload.before_commit lfs.upload.after_commit \
	lfs.upload.before_answer; do
	step "killed at $point"
	number=$((number + 1))
	head -c $((number * 5000000)) /dev/urandom >"$DIR/object"
	bytes=$(stat -c %s "$DIR/object")
	oid=$(sha256sum "$DIR/object" | cut -d' ' -f1)
	install -m 666 /dev/null "$DIR/reached" # the server is not root
	start_second "$point"
	href=$(link "http://127.0.0.1:$second_port" "$oid" "$bytes" upload)
	[ -n "$href" ] || fail "no upload link"
	href=http://127.0.0.1:$second_port/${href#*://*/}
	must_fail curl -sf -o /dev/null -T "$DIR/object" "$href"
	wait "$second_pid" && fail "the second server lives"
	grep -q "^$point" "$DIR/reached" || fail "$point was not reached"
	[ "$(http_status -T "$DIR/object" "$URL/${href#*://*/}")" = 200 ] || fail "the retry: $(cat "$DIR/http.out")"
	pool=$MNT/.loam/lfs/objects/${oid:0:2}/${oid:2:2}/$oid
	expect "2 400 $bytes" "$(stat -c '%h %a %s' "$pool")" "the pool file"
	expect "$oid" "$(curl -s "$(link "$URL" "$oid" "$bytes" download)" | sha256sum | cut -d' ' -f1)" "what comes back"
done

step "staging is swept, and its blocks with it"
sleep 3
stop_up
start_up
for i in $(seq 100); do
	[ -z "$(ls -A "$MNT/.loam/staging")" ] && break
	sleep 0.1
done
expect "" "$(ls -A "$MNT/.loam/staging")" "staging"
check_volume
