#!/bin/bash
# The official client mounts the same volume: both show and change the same files; its fsck, gc, dump, load, clone
# and rmr find and do what they should on what Loam wrote, and Loam on what they wrote.
#
#   LOAM_JUICEFS=/path/to/juicefs tests/stories/30-beside-an-official-client.sh        (tried with 1.4.1)
#   LOAM_SEED=7 chooses the random operations
. "$(dirname "$0")/lib.sh.inc"
[ -n "${LOAM_JUICEFS:-}" ] || skip "LOAM_JUICEFS names no official juicefs binary"
[ -x "$LOAM_JUICEFS" ] || skip "LOAM_JUICEFS=$LOAM_JUICEFS cannot be run"
command -v python3 >/dev/null || skip "python3 is missing"
story "beside an official client"
SEED=${LOAM_SEED:-$RANDOM}
TOOL=$LOAM_SOURCE/tests/tools/two_clients.py
start_up
META="unix://$DIR/v/redis.sock?db=0"
OFFICIAL=$DIR/official
mkdir "$OFFICIAL"

official() # VERB …: a verb of the official client; its log is shown when it fails
{
	"$LOAM_JUICEFS" "$@" >"$DIR/official.out" 2>&1 && return 0
	tail -n 30 "$DIR/official.out" >&2
	fail "juicefs $*"
}
mount_official() # [options]: without kernel caches, so that each change shows at once
{
	official mount -d "$META" "$OFFICIAL" --no-usage-report --metrics "127.0.0.1:$(free_port)" --log "$DIR/juicefs.out" --cache-dir \
		"$DIR/official-cache" --attr-cache 0 --entry-cache 0 --dir-entry-cache 0 "$@"
}
same_files() # names, types, modes, owners, link counts, times, targets, sizes, ACLs, xattrs, bytes: all of the volume
{
	local root
	for root in "$MNT" "$OFFICIAL"; do
		(
			cd "$root"
			set -- .loam * # the internal files of a mount are its own
			find "$@" -printf '%p %i %y %m %U %G %n %T@ %C@ %l\n' | sort
			find "$@" -type f -printf '%p %s\n' | sort
			find "$@" ! -type l | sort | getfacl -Pnp -
			find "$@" | sort | tr '\n' '\0' | xargs -0 getfattr -hd -m - -e hex
			find "$@" -type f -print0 | sort -z | xargs -0 -r sha256sum
		) >"$DIR/shown${root##*/}"
	done
	diff "$DIR/shownmnt" "$DIR/shownofficial" >"$DIR/sides" && return 0
	head -n 40 "$DIR/sides" >&2
	fail "the two mounts differ"
}

mount_official --no-bgjob
add_user alice
add_user bob
loam repo create team/model --owner alice 2>/dev/null >>"$DIR/commands.out"

step "a pushed model stands on the official mount, too, with the same rights"
work=$DIR/home/alice/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
head -c 150000000 /dev/urandom | as alice tee "$work/weights.bin" >/dev/null
as alice mkdir "$work/sub"
for i in $(seq 60); do echo "small file $i"; done | as alice split -l 1 -a 2 -d - "$work/sub/part"
as alice ln -s sub/part00 "$work/link"
as alice git -C "$work" add .
as alice git -C "$work" commit -qm one
as alice git -C "$work" push -q origin main 2>"$DIR/push.out"
loam grant bob read team/model 2>>"$DIR/commands.out"
same_as_checkout "$work" "$MNT/models/team/model"
same_as_checkout "$work" "$OFFICIAL/models/team/model"
sleep 1.2
same_files
as bob cat "$OFFICIAL/models/team/model/weights.bin" | cmp - "$work/weights.bin"
loam revoke bob team/model
sleep 1.2
must_fail as bob cat "$OFFICIAL/models/team/model/weights.bin"
must_fail as alice touch "$OFFICIAL/models/team/model/new"

step "its sessions and ours know each other"
official status "$META"
grep -q '"Version": "1.4.0+loam"' "$DIR/official.out" || fail "our sessions are not in juicefs status"
loam status >"$DIR/status.out"
official config "$META"
official info "$OFFICIAL/models/team/model"
grep -q 'inode: ' "$DIR/official.out" || fail "juicefs info"
official summary "$OFFICIAL/models"

step "both take turns, seed $SEED"
mkdir "$MNT/turns" "$DIR/plain"
python3 "$TOOL" turns "$SEED" 6 60 "$MNT/turns" "$OFFICIAL/turns" "$DIR/plain"

step "both at once, seed $SEED"
mkdir "$MNT/race"
python3 "$TOOL" race "$SEED" 1000 "$MNT/race" "$OFFICIAL/race"
check_volume
official fsck "$META" --path / -r

step "clones: theirs of ours, ours of theirs; recursive removal on their side"
official clone "$OFFICIAL/models/team/model/weights.bin" "$OFFICIAL/race/theirs"
cmp "$MNT/race/theirs" "$work/weights.bin"
mkdir "$OFFICIAL/written"
head -c 70000000 /dev/urandom >"$OFFICIAL/written/big"
ln "$OFFICIAL/written/big" "$OFFICIAL/written/again"
truncate -s 300000000 "$OFFICIAL/written/sparse"
setfacl -d -m u:20001:rwx "$OFFICIAL/written"
echo under >"$OFFICIAL/written/under"
sleep 1.2
loam clone "$MNT/written" "$MNT/ours"
loam clone "$MNT/models/team/model" "$MNT/model-copy"
diff -r "$OFFICIAL/written" "$OFFICIAL/ours"
diff -r "$OFFICIAL/model-copy" "$MNT/models/team/model"
official rmr "$OFFICIAL/written" "$OFFICIAL/model-copy"
[ ! -e "$MNT/written" ] || fail "juicefs rmr left something"
cmp "$MNT/ours/big" "$OFFICIAL/ours/again"
rm -r "$MNT/ours"
check_volume

step "its gc removes nothing that is needed, a push under way included"
head -c 100000000 /dev/urandom | as alice tee "$work/more.bin" >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm two
as alice git -C "$work" push -q origin main 2>"$DIR/push.out" &
push=$!
official gc "$META"
official gc "$META" --delete
wait "$push" || fail "the push failed: $(cat "$DIR/push.out")"
official gc "$META" --compact --delete
same_as_checkout "$work" "$OFFICIAL/models/team/model"
check_volume --deep
official fsck "$META"

step "with its background jobs, for a while"
umount "$OFFICIAL"
mount_official
sleep 5
same_files
umount "$OFFICIAL"

step "a dump is loaded into another database: the same volume"
for form in "" --binary; do
	official dump "$META" "$DIR/dump" $form --keep-secret-key
	redis -n 1 flushdb >/dev/null
	official load "unix://$DIR/v/redis.sock?db=1" "$DIR/dump" $form
	loam fsck "unix://$DIR/v/redis.sock?db=1" >"$DIR/fsck.out" 2>&1 || {
		cat "$DIR/fsck.out" >&2
		fail "loam fsck of the loaded volume"
	}
done
