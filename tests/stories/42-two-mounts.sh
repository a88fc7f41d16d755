#!/bin/bash
# One volume, two mounts: a push, a grant and a revocation are true on both at once; what was closed on one is
# read on the other; a walk that began and ended at one commit saw that commit only.
. "$(dirname "$0")/lib.sh.inc"
story "two mounts show the same volume"
start_up
add_user alice
add_user bob
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
other=$DIR/m2
mkdir "$other"
loam mount --cache-dir "$DIR/cache2" "unix://$DIR/v/redis.sock" -d --log "$DIR/mount2.log" "$other"
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null

# push_round N: every file says N; a third of the names change with it
push_round()
{
	local i
	rm -rf "$work"/d*
	for i in 1 2 3 4 5; do
		mkdir -p "$work/d$i"
		echo "$1 $i" >"$work/d$i/same"
		echo "$1 $i" >"$work/d$i/only-$1"
	done
	echo "weights $1" >"$work/w.bin"
	chown -R "$UID_alice:$UID_alice" "$work"
	as alice git -C "$work" add -A
	as alice git -C "$work" commit -qm "$1"
	as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push $1: $(cat "$DIR/push.out")"
}
commit_on() { getfattr --only-values --absolute-names -n user.loam.commit "$1/models/team/model" 2>/dev/null; }

step "a walk between two equal readings of the commit saw that commit"
push_round 0
cat >"$DIR/bin/walker.py" <<'PYTHON'
import os, sys, time
tree, stop = sys.argv[1] + "/models/team/model", sys.argv[2]
equal = torn = 0
while not os.path.exists(stop):
    try:
        before = os.getxattr(tree, "user.loam.commit")
        said, names = set(), set()
        for where, dirs, files in os.walk(tree, onerror=lambda e: said.add(str(e.errno))):
            for name in files:
                if name.startswith("only-"):
                    names.add(name[5:])
                if name == ".gitattributes":
                    continue
                with open(where + "/" + name) as file:
                    said.add(file.read().split()[0 if name != "w.bin" else 1])
        after = os.getxattr(tree, "user.loam.commit")
    except OSError as error:  # a name that has gone since it was listed
        torn += 1
        continue
    if before != after:
        torn += 1
        continue
    equal += 1
    if len(said) != 1 or names != said:
        print("at", before.decode(), "the tree said", sorted(said), sorted(names))
        sys.exit(1)
print(equal, "whole walks,", torn, "overtaken")
sys.exit(0 if equal >= 20 else 1)
PYTHON
walkers=()
for mount in "$MNT" "$other"; do
	PATH=/usr/bin:$PATH python3 "$DIR/bin/walker.py" "$mount" "$DIR/stop" >>"$DIR/walkers.out" 2>&1 &
	walkers+=($!)
done
for n in $(seq 25); do
	push_round "$n"
	for mount in "$MNT" "$other"; do
		[ "$(commit_on "$mount")" = "$(git -C "$work" rev-parse HEAD)" ] || fail "push $n: $mount shows another commit"
		[ "$(cat "$mount/models/team/model/d1/only-$n" "$mount/models/team/model/w.bin" 2>&1)" = "$n 1
weights $n" ] || fail "push $n: $mount shows other files"
	done
done
touch "$DIR/stop"
for pid in "${walkers[@]}"; do wait "$pid" || fail "$(cat "$DIR/walkers.out")"; done
cat "$DIR/walkers.out"
same_as_checkout "$work" "$other/models/team/model"

step "a grant and a revocation bind both mounts at once"
for n in $(seq 8); do
	for mount in "$MNT" "$other"; do must_fail as bob cat "$mount/models/team/model/w.bin"; done
	loam grant bob read team/model 2>>"$DIR/commands.out"
	for mount in "$MNT" "$other"; do as bob cat "$mount/models/team/model/w.bin" >/dev/null || fail "round $n: granted, and refused on $mount"; done
	as bob bash -c "cd $other/models/team/model && exec 8<w.bin && touch $DIR/home/bob/in &&
		while [ ! -e $DIR/home/bob/go ]; do sleep 0.02; done; cat <&8 >/dev/null && ! cat d1/same 2>/dev/null && ! ls d1 2>/dev/null" &
	inside=$!
	until [ -e "$DIR/home/bob/in" ]; do sleep 0.02; done
	loam revoke bob team/model 2>>"$DIR/commands.out"
	for mount in "$MNT" "$other"; do must_fail as bob cat "$mount/models/team/model/w.bin"; done
	touch "$DIR/home/bob/go"
	wait $inside || fail "round $n: inside the gate when it was closed"
	rm "$DIR/home/bob/in" "$DIR/home/bob/go"
done

step "close-to-open, both ways"
cat >"$DIR/bin/rounds.py" <<'PYTHON'
import os, random, sys
a, b, rng = sys.argv[1] + "/users/alice", sys.argv[2] + "/users/alice", random.Random(1)
for n in range(400):
    here, there = (a, b) if n % 2 else (b, a)
    name, kind, data = "/f%d" % (n % 5), n % 4, rng.randbytes(rng.randrange(1, 200000))
    if kind == 0 or not os.path.exists(here + name):
        with open(here + name, "wb") as file:
            file.write(data)
    elif kind == 1:
        with open(here + name, "ab") as file:
            file.write(data)
    elif kind == 2:
        os.truncate(here + name, rng.randrange(100000))
    else:
        with open(here + "/new", "wb") as file:
            file.write(data)
        os.rename(here + "/new", here + name)
    os.chmod(here + name, rng.choice([0o600, 0o640, 0o664]))
    mine = open(here + name, "rb").read(), os.stat(here + name).st_mode
    with open(there + name, "rb") as file:
        theirs = file.read(), os.fstat(file.fileno()).st_mode
    if mine != theirs:
        print("round", n, "kind", kind, len(mine[0]), len(theirs[0]), oct(mine[1]), oct(theirs[1]))
        sys.exit(1)
PYTHON
PATH=/usr/bin:$PATH as alice python3 "$DIR/bin/rounds.py" "$MNT" "$other" >"$DIR/rounds.out" 2>&1 || fail "$(cat "$DIR/rounds.out")"
loam umount "$other"
check_volume
