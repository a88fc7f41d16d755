#!/bin/bash
# The private Redis is killed at random moments of pushes and comes back; it is stopped for longer than any
# deadline. What was acknowledged stays, clients are back within 5 s, and meanwhile the answer is 503
# (F32, F35, F41; L02, R03).
. "$(dirname "$0")/lib.sh.inc"
story "kill -9 and hangs of Redis"
ROUNDS=${ROUNDS:-6}
short_staging
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
new_commit "$work" 4 2 "first"
push_until_it_works "$work"
install -d -m 777 "$MNT/scratch"

# One change after the other on the mount, each noted once fsync has acknowledged it.
cat >"$DIR/writer.py" <<'PY'
import os, sys
dir, notes = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number = int(sys.argv[3])
while not os.path.exists(sys.argv[4]):
    name = "%s/w%06d" % (dir, number)
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, b"%06d" % number * 1000)
        os.fsync(fd)
        os.close(fd)
        os.write(notes, b"%s\n" % name.encode())
    except OSError as error:
        print(name, error, flush=True)
    number += 1
PY

step "$ROUNDS kills of Redis at a random moment of a push, while files are written on the mount"
for round in $(seq "$ROUNDS"); do
	new_commit "$work" 6 3 "redis $round"
	rm -f "$DIR/enough"
	timeout 120 python3 "$DIR/writer.py" "$MNT/scratch" "$DIR/noted" $((round * 100000)) "$DIR/enough" >"$DIR/writer.out" &
	writer=$!
	push_once "$work" &
	pusher=$!
	random_pause 1500
	kill_child redis
	killed=$(date +%s%N)
	while ! redis ping >/dev/null 2>&1; do sleep 0.05; done
	back=$(date +%s%N)
	# "clients back in 5 s"
	while [ "$(http_status --max-time 5 "$URL/healthz")" != 200 ]; do
		[ $(($(date +%s%N) - back)) -lt 5000000000 ] || fail "no service 5 s after Redis is back"
		sleep 0.05
	done
	timeout 5 touch "$MNT/scratch/touched" || fail "the mount does not work 5 s after Redis is back"
	wait $pusher && first=ok || first=failed
	touch "$DIR/enough"
	wait $writer || fail "the writer hangs: $(cat "$DIR/writer.out")"
	# what the client was told is on the mount
	[ $first = failed ] || wait_published "$work" "$tree" 10
	push_until_it_works "$work"
	wait_published "$work" "$tree" 10
	same_as_checkout "$work" "$tree"
	echo "round $round: redis was away $(((back - killed) / 1000000)) ms, the push $first, then $TRIES more;" \
		"$(grep -c "/w$round" "$DIR/noted") files acknowledged, $(wc -l <"$DIR/writer.out") refused"
done

step "every acknowledged file and object is there"
while read -r name; do
	[ "$(stat -c %s "$name")" = 6000 ] || fail "$name was acknowledged"
	[ "$(tr -d "\n" <"$name" | head -c 6)" = "$(basename "$name" | tail -c +2)" ] || fail "bytes of $name"
done <"$DIR/noted"
pool_is_whole "$DIR/oids"
staging_is_swept
git_is_clean "$DIR/v/git/models/team/model.git"
check_volume

step "Redis hangs: 503 within 30 s, and service within 5 s of its return"
stopped=$(child_pid redis)
kill -STOP "$stopped"
from=$(date +%s)
http_status --max-time 40 -u "alice:$TOKEN_alice" "$URL/team/model.git/info/refs?service=git-upload-pack" >"$DIR/status1" &
one=$!
status=$(http_status --max-time 40 -X POST -u "alice:$TOKEN_alice" -H 'Content-Type: application/vnd.git-lfs+json' \
	-H 'Accept: application/vnd.git-lfs+json' --data '{"operation":"download","objects":[{"oid":"'"$(head -1 "$DIR/oids")"'","size":4194304}]}' \
	"$URL/team/model.git/info/lfs/objects/batch" || true)
wait $one || true
took=$(($(date +%s) - from))
expect 503 "$status" "a batch while Redis hangs"
expect 503 "$(cat "$DIR/status1")" "info/refs while Redis hangs"
[ $took -le 31 ] || fail "503 took $took s"
[ "$(http_status --max-time 10 "$URL/healthz" || true)" != 200 ] || fail "healthy while Redis hangs"
kill -CONT "$stopped"
from=$(date +%s)
wait_healthy 5
timeout 5 ls "$tree" >/dev/null || fail "the mount 5 s after the return"
push_once "$work" || fail "a push after the return: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"
check_volume
