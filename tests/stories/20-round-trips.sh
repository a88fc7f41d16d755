#!/bin/bash
# What operations cost in round trips to Redis (design.md §7), counted on the wire: mount and server
# reach the volume through a relay that counts. tests/tools/trips.c says how one system call is taken
# apart into FUSE requests; above its budget is a failure. The server's doors have no budget there; what
# they cost is printed, and it must not grow with the objects of a batch or the files of a push.
. "$(dirname "$0")/lib.sh.inc"
story "round trips to Redis"
tools=$LOAM_BUILD/tests
RELAY_PID=
end()
{
	local status=$?
	set +e
	stop_up # while it can still reach Redis
	[ -z "$RELAY_PID" ] || kill "$RELAY_PID" 2>/dev/null
	(exit $status)
	leave
}
trap end EXIT

step "mount and server speak to Redis through the relay"
start_up
stop_up
"$tools/tool_relay" "$DIR/relay.sock" "$DIR/v/redis.sock" "$DIR/trips" >"$DIR/relay.out" 2>&1 &
RELAY_PID=$!
for i in $(seq 100); do
	[ ! -S "$DIR/relay.sock" ] || break
	sleep 0.1
done
chmod 666 "$DIR/relay.sock" # serve is not root
sed -i "s|unix://.*redis.sock|unix://$DIR/relay.sock|" "$DIR/v/loam.conf"
grep -q "unix://$DIR/relay.sock" "$DIR/v/loam.conf" || fail "loam.conf names the volume otherwise"
start_up

step "the mount"
mkdir "$MNT/work"
"$tools/tool_trips" "$MNT/work" "$RELAY_PID" "$DIR/trips" || fail "an operation of the mount is above its budget"

# ---- the server -----------------------------------------------------------------------------------
take_count() # since the last time
{
	local i
	rm -f "$DIR/trips"
	kill -USR1 "$RELAY_PID"
	for i in $(seq 500); do
		[ -s "$DIR/trips" ] && cat "$DIR/trips" && return 0
		sleep 0.01
	done
	fail "the relay does not answer"
}
declare -A MEDIAN LEAST
# counted WHAT FN: the median of 5 runs of `FN n`, what FN_before n does is not counted
counted()
{
	local n trips=()
	for n in 1 2 3 4 5; do
		if declare -F "${2}_before" >/dev/null; then "${2}_before" "$n"; fi
		sleep 0.1
		take_count >/dev/null
		"$2" "$n"
		sleep 0.1
		trips+=("$(take_count)")
	done
	readarray -t trips < <(printf '%s\n' "${trips[@]}" | sort -n)
	LEAST[$2]=${trips[0]} # what else goes on in a second, on a slow machine, is not in it
	MEDIAN[$2]=${trips[2]}
	printf '%-44s %5d %5d\n' "$1" "${trips[2]}" "${trips[4]}"
}

add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm start
as alice git -C "$work" push -q origin main 2>/dev/null

ask() { curl -sf -u "alice:$TOKEN_alice" -o "$DIR/answer" "$@" || fail "curl $*"; }
refs() { ask "$URL/team/model.git/info/refs?service=git-upload-pack"; }

# Who is not known is looked for once more before the answer no: that must stay one trip.
wrong_token() { expect 401 "$(http_status -u "x:hf_$1" "$URL/team/model.git/info/refs?service=git-upload-pack")" "a wrong token"; }

oid_of() { printf 'object %s' "$1" | sha256sum | cut -d' ' -f1; }
batch() # operation, first, count
{
	local i objects=
	for i in $(seq "$2" $(($2 + $3 - 1))); do
		objects+="${objects:+,}{\"oid\":\"$(oid_of "$i")\",\"size\":$(printf 'object %s' "$i" | wc -c)}"
	done
	printf '{"operation":"%s","transfers":["basic"],"objects":[%s]}' "$1" "$objects" >"$DIR/batch.json"
}
send_batch()
{
	ask -H 'Content-Type: application/vnd.git-lfs+json' -H 'Accept: application/vnd.git-lfs+json' \
		--data-binary "@$DIR/batch.json" "$URL/team/model.git/info/lfs/objects/batch"
}
batch_one_before() { batch upload "$1" 1; }
batch_one() { send_batch; }
batch_many_before() { batch upload 1000 100; }
batch_many() { send_batch; }
put_link()
{
	python3 -c 'import json, sys
action = json.load(open(sys.argv[1]))["objects"][0]["actions"][sys.argv[2]]
print(action["href"])
for name, value in action.get("header", {}).items(): print(name + ": " + value)' "$DIR/answer" "$1" >"$DIR/link"
}
put_before()
{
	batch upload "$1" 1
	send_batch
	put_link upload
	printf 'object %s' "$1" >"$DIR/object"
}
put() { curl -sf -o /dev/null -H @<(tail -n +2 "$DIR/link") -T "$DIR/object" "$(head -1 "$DIR/link")" || fail "upload"; }
get_before()
{
	batch download "$1" 1
	send_batch
	put_link download
}
get() { curl -sf -o /dev/null -H @<(tail -n +2 "$DIR/link") "$(head -1 "$DIR/link")" || fail "download"; }

commit_files() # n, count
{
	local i
	for i in $(seq "$2"); do echo "$1 $i" >"$work/f$1-$i"; done
	chown -R "$UID_alice:$UID_alice" "$work"
	as alice git -C "$work" add .
	as alice git -C "$work" commit -qm "$1"
}
push() { as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push"; }
push_one_before() { commit_files "one$1" 1; }
push_one() { push; }
push_many_before() { commit_files "many$1" 200; }
push_many() { push; }

step "the server"
printf '%-44s %5s %5s\n' operation trips most
counted "info/refs: who is it, may they read" refs
counted "a token that nobody has" wrong_token
counted "LFS batch, upload, 1 object" batch_one
counted "LFS batch, upload, 100 objects" batch_many
counted "LFS upload of a small object" put
counted "LFS download of a small object" get
counted "git push of 1 small file, with publish" push_one
counted "git push of 200 small files, with publish" push_many
[ "${LEAST[wrong_token]}" -le 4 ] || fail "looking for a token again reads the files, not whether they are the same (21 trips)"
[ "${MEDIAN[batch_many]}" -le $((MEDIAN[batch_one] + 20)) ] || fail "a batch costs trips per object"
[ "${MEDIAN[push_many]}" -le $((MEDIAN[push_one] + 50)) ] || fail "a publish costs trips per file"
