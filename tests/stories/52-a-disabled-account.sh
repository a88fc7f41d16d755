#!/bin/bash
# user disable closes every door at once: Git and LFS over HTTP, tokens and links, and every mount: repositories, the
# home, group directories, other people's files, also for a process that stands inside and holds a file open.
# enable opens them again. user del is as closed, for good; the home is set aside, the number never given again.
. "$(dirname "$0")/lib.sh.inc"
story "a disabled account"
start_up
for name in alice bob; do add_user $name; done
TEAM=$(loam group add team 2>/dev/null)
loam group member add team bob 2>>"$DIR/commands.out"
loam repo create alice/open --internal >/dev/null 2>&1
other=$DIR/m2
mkdir "$other"
loam mount --cache-dir "$DIR/cache2" "unix://$DIR/v/redis.sock" -d --log "$DIR/mount2.log" "$other"
bob() { setpriv --reuid "$UID_bob" --regid "$UID_bob" --groups "$UID_bob,$TEAM" -- "$@"; }
as alice sh -c "chmod 755 $MNT/users/alice; echo public >$MNT/users/alice/file; chmod 644 $MNT/users/alice/file"
bob sh -c "echo mine >$MNT/users/bob/file; echo ours >$MNT/groups/team/file"

body='{"operation":"download","objects":[{"oid":"'$(printf 'x' | sha256sum | cut -d' ' -f1)'","size":1}]}'
# doors: the answers of all of them to bob, in one line
doors()
{
	local mount out
	[ "$(http_status -u "bob:$TOKEN_bob" "$URL/alice/open.git/info/refs?service=git-upload-pack")" = 200 ] && out=yes || out=no
	[ "$(http_status -u "bob:$TOKEN_bob" -H 'Content-Type: application/vnd.git-lfs+json' -d "$body" \
		"$URL/alice/open.git/info/lfs/objects/batch")" = 200 ] && out+=" yes" || out+=" no"
	for mount in "$MNT" "$other"; do
		bob ls "$mount/models/alice/open" >/dev/null 2>&1 && out+=" yes" || out+=" no"
		bob cat "$mount/users/bob/file" >/dev/null 2>&1 && out+=" yes" || out+=" no"
		bob cat "$mount/groups/team/file" >/dev/null 2>&1 && out+=" yes" || out+=" no"
		bob cat "$mount/users/alice/file" >/dev/null 2>&1 && out+=" yes" || out+=" no"
		bob sh -c "echo x >>$mount/groups/team/log" 2>/dev/null && out+=" yes" || out+=" no"
		bob mkdir "$mount/users/bob/new" 2>/dev/null && rmdir "$mount/users/bob/new" && out+=" yes" || out+=" no"
	done
	echo "$out"
}
eventually() # WANTED WHAT
{
	local i got
	for i in $(seq 60); do
		got=$(doors)
		[ "$got" = "$1" ] && return 0
		sleep 0.1
	done
	fail "$2: the doors say '$got', wanted '$1'"
}
yes="yes yes yes yes yes yes yes yes yes yes yes yes yes yes"
no="no no no no no no no no no no no no no no"
eventually "$yes" "bob, to begin with"

step "who stands inside, with a file open for writing"
mkfifo "$DIR/ask"
chmod 666 "$DIR/ask"
bob sh -c "cd $MNT/groups/team && exec 5>>held && while read -r word; do
	case \$word in
	list) ls . >/dev/null 2>&1 && echo yes || echo no ;;
	open) cat file >/dev/null 2>&1 && echo yes || echo no ;;
	write) echo x >&5 2>/dev/null && echo yes || echo no ;;
	esac; done" <"$DIR/ask" >"$DIR/inside.out" 2>/dev/null &
inside=$!
exec 6>"$DIR/ask"
lines=0
ask_inside() # WORD WANTED
{
	local i
	echo "$1" >&6
	lines=$((lines + 1))
	for i in $(seq 500); do
		[ "$(wc -l <"$DIR/inside.out")" -ge $lines ] && break
		sleep 0.02
	done
	[ "$(tail -n 1 "$DIR/inside.out")" = "$2" ] || fail "inside, $1: $(tail -n 1 "$DIR/inside.out"), wanted $2"
}
for word in list open write; do ask_inside $word yes; done

step "disabled: nothing, anywhere"
loam user disable bob
eventually "$no" "disabled"
for word in list open write; do ask_inside $word no; done
must_fail bob stat "$MNT/users/alice/file"
must_fail bob setfacl -m "u:$UID_alice:r" "$MNT/users/bob/file"
[ "$(as alice cat "$MNT/users/alice/file")" = public ] || fail "alice is shut out, too"
[ "$(cat "$MNT/groups/team/file")" = ours ] || fail "root is shut out"

step "a mount that begins later knows it, and a restarted server, too"
loam umount "$other"
loam mount --cache-dir "$DIR/cache2" "unix://$DIR/v/redis.sock" -d --log "$DIR/mount2.log" "$other" 6>&-
must_fail bob cat "$other/users/bob/file"

step "enabled again"
loam user enable bob
eventually "$yes" "enabled"
for word in list open write; do ask_inside $word yes; done

step "removed: as closed, for good"
loam user del bob
eventually "$no" "removed"
for word in list open write; do ask_inside $word no; done
exec 6>&-
wait $inside || true
[ "$(stat -c '%a %u' "$MNT/users/.removed-bob-$UID_bob")" = "700 0" ] || fail "the home: $(ls -la "$MNT/users")"
[ "$(cat "$MNT/users/.removed-bob-$UID_bob/file")" = mine ] || fail "his file is gone"
must_fail loam user add carl --uid "$UID_bob"
[ "$(loam user add bob 2>/dev/null)" -gt "$UID_bob" ] || fail "the number was given again"
must_fail bob cat "$MNT/users/alice/file"
loam umount "$other"
check_volume
