#!/bin/bash
# Two servers on one volume take the same objects at once, and a repository is published by two processes at once:
# one pool file per object, its names counted right, one commit shown (F03, lfs-10; L10, G05, M01, V06).
. "$(dirname "$0")/lib.sh.inc"
story "two servers on one volume"
short_staging
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
loam repo create team/other --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
new_commit "$work" 1 1 "first"
push_until_it_works "$work"

# The second server: its own folder of repositories, which holds none.
PORT2=$(free_port)
mkdir -m 711 "$DIR/second" # the server is not root
mkdir -m 700 "$DIR/second/git"
cp "$DIR/v/loam.conf" "$DIR/second/loam.conf"
git config -f "$DIR/second/loam.conf" server.listen "127.0.0.1:$PORT2"
git config -f "$DIR/second/loam.conf" server.repos "$DIR/second/git"
git config -f "$DIR/second/loam.conf" cache.dir "$DIR/second/cache"
LOAM_CONFIG=$DIR/second/loam.conf loam serve >"$DIR/second.log" 2>&1 &
SECOND=$!
ends_with_me $SECOND
for i in $(seq 100); do
	[ "$(http_status "http://127.0.0.1:$PORT2/healthz" || true)" = 200 ] && break
	sleep 0.1
done

step "a server that lacks the repositories does not empty the trees"
sleep 2.5
same_as_checkout "$work" "$tree"

batch() # SERVER REPO OID SIZE: the link of an upload
{
	curl -s -u "alice:$TOKEN_alice" -H 'Content-Type: application/vnd.git-lfs+json' -H 'Accept: application/vnd.git-lfs+json' \
		--data '{"operation":"upload","objects":[{"oid":"'"$3"'","size":'"$4"'}]}' "$1/$2.git/info/lfs/objects/batch" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["objects"][0]["actions"]["upload"]["href"])'
}
step "one object is uploaded 20 times at once, through both servers, into two repositories"
for round in 1 2 3; do
	head -c 9000000 /dev/urandom >"$DIR/object"
	oid=$(sha256sum "$DIR/object" | awk '{ print $1 }')
	size=$(stat -c %s "$DIR/object")
	uploads=()
	links=()
	for i in $(seq 20); do
		server=$URL
		[ $((i % 2)) = 0 ] || server=http://127.0.0.1:$PORT2
		repo=team/model
		[ $((i % 4)) -lt 2 ] || repo=team/other
		links+=("$(batch "$server" $repo "$oid" "$size")")
	done
	for i in $(seq 20); do
		curl -s -o /dev/null -w '%{http_code}\n' -T "$DIR/object" "${links[$((i - 1))]}" >"$DIR/upload.$i" &
		uploads+=($!)
	done
	kill -KILL "${uploads[6]}"
	for i in $(seq 20); do wait "${uploads[$((i - 1))]}" || [ "$i" = 7 ] || fail "upload $i"; done
	for i in $(seq 20); do [ "$i" = 7 ] || expect 200 "$(cat "$DIR/upload.$i")" "upload $i"; done
	file=$MNT/.loam/lfs/objects/${oid:0:2}/${oid:2:2}/$oid
	[ "$(stat -c %h "$file")" = 3 ] || fail "the pool file has $(stat -c %h "$file") names, not 3"
	[ "$(sha256sum <"$file" | awk '{ print $1 }')" = "$oid" ] || fail "bytes of the pool file"
done

step "pushes while somebody else publishes the same repository"
as alice git -C "$work" branch -q other
as alice git -C "$work" push -q origin other 2>>"$DIR/commands.out"
for round in 1 2 3 4 5; do
	new_commit "$work" 1 1 "race $round"
	push_once "$work" &
	pusher=$!
	for i in 1 2 3 4; do
		loam repo default-branch team/model $([ $((i % 2)) = 0 ] && echo main || echo other) 2>>"$DIR/commands.out" ||
			fail "default-branch: $(tail -n 3 "$DIR/commands.out")"
	done
	wait $pusher || fail "the push: $(cat "$DIR/push.out")"
	loam repo default-branch team/model main
	wait_published "$work" "$tree" 10
	same_as_checkout "$work" "$tree"
done

step "both servers end, all is counted right"
kill -TERM $SECOND
wait $SECOND || fail "the second server: $(tail -n 5 "$DIR/second.log")"
staging_is_swept
check_volume
