#!/bin/bash
# Random operations on the mount and on an ext4 directory give the same answers and the same trees, also after
# the mount was killed and comes back. LOAM_SEED repeats a run, LOAM_SECONDS lengthens it.
. "$(dirname "$0")/../stories/lib.sh.inc"
seed=${LOAM_SEED:-$RANDOM$RANDOM}
story "random operations, seed $seed"
python=$(PATH=/usr/bin:$PATH command -v python3) || skip "needs python3"
start_up
add_user alice
mkdir -p "$DIR/plain"
chown "$UID_alice:$UID_alice" "$DIR/plain"
install -m 644 "$LOAM_SOURCE/tests/model/random_operations.py" "$DIR/bin/"
as alice "$python" "$DIR/bin/random_operations.py" "$seed" "${LOAM_SECONDS:-20}" "$DIR/plain" "$MNT/users/alice" ||
	fail "seed $seed"

step "what was closed is there after the mount was killed"
pid=$(child_pid mount)
kill -9 "$pid"
for i in $(seq 100); do
	[ -d "$MNT/users" ] 2>/dev/null && break
	sleep 0.1
done
same_list() { (cd "$1" && find . ! -type d -printf '%p %M %s %n %l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r md5sum); }
cmp <(same_list "$DIR/plain") <(same_list "$MNT/users/alice") || fail "other files after the mount was killed, seed $seed"
check_volume --deep
