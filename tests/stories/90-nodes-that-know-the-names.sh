#!/bin/bash
# Two nodes (namespaces for mounts and network, their own /etc, their own mount of the volume) learn the names:
# `ls -l`, `id`, `su`, `chown` and `setfacl` by name agree on both; who comes later appears without a restart; what a
# node has for others is left out; `node remove` leaves nothing behind.
. "$(dirname "$0")/lib.sh.inc"
story "nodes that know the names"
compgen -G '/usr/lib/libnss_extrausers.so.2' >/dev/null || compgen -G '/usr/lib/*/libnss_extrausers.so.2' >/dev/null || skip "needs libnss-extrausers"
start_up --no-mount
META="unix://$DIR/v/redis.sock"
host_files() { sha256sum /etc/nsswitch.conf /etc/passwd /etc/group /etc/shadow; ls -lA /var/lib/extrausers /var/lib/loam-node 2>&1 || true; }
host_files >"$DIR/host.before"
loam user add alice >"$DIR/uid" 2>>"$DIR/commands.out"
UID_alice=$(cat "$DIR/uid")
loam user add bob >/dev/null 2>>"$DIR/commands.out"
printf '%s\n' 'a password of some length' | loam user password alice
loam group add team >/dev/null 2>>"$DIR/commands.out"
loam group member add team alice 2>>"$DIR/commands.out"

# ---- nodes: a process that holds the namespaces, commands by nsenter
NODES=()
end_nodes()
{
	local pid status=$?
	set +e
	for pid in "${NODES[@]}"; do
		nsenter -t "$pid" -m -n umount -l "$DIR/mnt" 2>/dev/null
		kill "$pid" 2>/dev/null
	done
	for pid in $(pgrep -f "loam mount .*$DIR/mnt"); do kill "$pid" 2>/dev/null; done
	(exit $status)
	leave
}
trap end_nodes EXIT
mkdir -m 755 "$DIR/mnt"
new_node() # NAME: sets PID_NAME
{
	local name=$1
	mkdir -m 755 -p "$DIR/$name/varlib/extrausers" "$DIR/$name/varlib/misc"
	cp -a /etc "$DIR/$name/etc"
	# as Debian has it, with a word of an administrator
	cat >"$DIR/$name/etc/nsswitch.conf" <<-EOF
		# the administrator's own words
		passwd:         files systemd
		group:          files [NOTFOUND=continue] systemd   # why not
		shadow:         files
		hosts:          files dns
	EOF
	cp -p "$DIR/$name/etc/nsswitch.conf" "$DIR/$name.nsswitch"
	unshare -m -n --propagation private bash -c "mount --bind '$DIR/$name/etc' /etc && mount --bind '$DIR/$name/varlib' /var/lib &&
		{ umount -l -a -t fuse.loam || true; } && # other tests' volumes
		: >'$DIR/$name.ready' && exec sleep 100000" &
	NODES+=($!)
	printf -v "PID_$name" %s $!
	local i
	for i in $(seq 100); do
		[ ! -e "$DIR/$name.ready" ] || return 0
		sleep 0.1
	done
	fail "the namespaces of $name"
}
on() # NODE COMMAND …
{
	local pid=PID_$1
	shift
	nsenter -t "${!pid}" -m -n -- "$@"
}
mount_on() # NODE
{
	on "$1" loam mount --cache-dir "$DIR/$1/cache" --log "$DIR/$1.mount.log" -d "$META" "$DIR/mnt"
}
until_true() # SECONDS WHAT COMMAND …
{
	local i seconds=$1 what=$2
	shift 2
	for i in $(seq $((seconds * 5))); do
		if "$@" >"$DIR/until.out" 2>&1; then return 0; fi
		sleep 0.2
	done
	cat "$DIR/until.out" >&2
	fail "$what"
}
both() # COMMAND …: the same answer on both; printed
{
	local one two
	one=$(on one "$@" 2>&1) || fail "on one: $*: $one"
	two=$(on two "$@" 2>&1) || fail "on two: $*: $two"
	[ "$one" = "$two" ] || fail "$*: one says '$one', two says '$two'"
	echo "$one"
}
new_node one
new_node two
# the second node has people of its own: carol by name, somebody with the number that dave will have, a group
echo "carol:x:1500:1500::/home/carol:/bin/sh" >>"$DIR/two/etc/passwd"
echo "squatter:x:$((UID_alice + 50)):100::/:/bin/sh" >>"$DIR/two/etc/passwd"
echo "staffers:x:1500:" >>"$DIR/two/etc/group"

step "refused with what to do"
must_fail on one loam node enroll --root "$DIR/nowhere" "$META"
grep -q 'apt-get install libnss-extrausers' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
[ ! -e "$DIR/nowhere" ] || fail "a refused enrolment left something"
must_fail on one loam node enroll --shell 'bin:sh' "$META"
must_fail on one loam node remove
[ "$(on one loam node status)" = "not enrolled" ] || fail "status"
echo "someone:x:5000:5000::/:/bin/sh" >"$DIR/one/varlib/extrausers/passwd"
must_fail on one loam node enroll "$META"
grep -q 'somebody else' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
rm "$DIR/one/varlib/extrausers/passwd"
cmp "$DIR/one.nsswitch" "$DIR/one/etc/nsswitch.conf" || fail "a refused enrolment changed nsswitch.conf"

step "enrolled: one after its mount, the other before"
mount_on one
on one loam node enroll "$META" 2>"$DIR/enroll.out"
grep -q "homes below $DIR/mnt/users" "$DIR/enroll.out" || fail "the mount was not found: $(cat "$DIR/enroll.out")"
on two loam node enroll --mount "$DIR/mnt" "$META" 2>>"$DIR/enroll.out"
mount_on two
on one loam node enroll "$META" 2>>"$DIR/enroll.out" || fail "twice"
[ "$(both id -un "$UID_alice")" = alice ] || fail "no alice"
both id alice | says "^uid=$UID_alice(alice) gid=$UID_alice(alice) groups=.*(team)" || fail "id alice: $(both id alice)"
both getent passwd alice | says "^alice:x:$UID_alice:$UID_alice::$DIR/mnt/users/alice:/bin/bash$" || fail "$(both getent passwd alice)"
expect loam "$(both stat -c %U "$DIR/mnt/users")" "the owner of what is published"
grep -rq '\$y\$' "$DIR/one/varlib" "$DIR/two/varlib" && fail "a hash left the volume"
expect 640 "$(stat -c %a "$DIR/one/varlib/extrausers/shadow")" "the mode of shadow"
expect 644 "$(stat -c %a "$DIR/one/varlib/extrausers/passwd")" "the mode of passwd"
on one awk -F: '$2 != "*" { exit 1 }' /var/lib/extrausers/shadow || fail "shadow holds more than stars"

step "ls -l, su, chown, setfacl by name"
on one su alice -c 'umask 022; cd && pwd && id -un && echo hello >words && mkdir shared' >"$DIR/su.out" 2>&1 || fail "su alice: $(cat "$DIR/su.out")"
expect "$DIR/mnt/users/alice alice" "$(tr '\n' ' ' <"$DIR/su.out" | sed 's/ $//')" "su alice"
expect "hello" "$(on two su alice -c 'cat ~/words')" "alice's file on the other node"
both ls -l "$DIR/mnt/users" | says ' alice *alice .* alice$' || fail "$(both ls -l "$DIR/mnt/users")"
on one su alice -c 'setfacl -m g:team:rwx,u:bob:r-x ~/shared'
both getfacl -p "$DIR/mnt/users/alice/shared" | says -x 'group:team:rwx' || fail "$(both getfacl -p "$DIR/mnt/users/alice/shared")"
both getfacl -p "$DIR/mnt/users/alice/shared" | says -x 'user:bob:r-x' || fail "no bob"
on two touch "$DIR/mnt/users/bob/given"
on two chown alice:team "$DIR/mnt/users/bob/given"
expect "alice team" "$(both stat -c '%U %G' "$DIR/mnt/users/bob/given")" "chown by name"

step "who comes later appears on both, without a restart"
uid=$(loam user add erin --group team 2>>"$DIR/commands.out")
loam group add second >/dev/null 2>>"$DIR/commands.out"
loam group member add second bob 2>>"$DIR/commands.out"
for node in one two; do
	until_true 60 "erin does not appear on $node" on "$node" id erin
	until_true 60 "erin is not in her group on $node" on "$node" sh -c 'id -Gn erin | grep -qw team'
	until_true 60 "bob is not in second on $node" on "$node" sh -c 'id -Gn bob | grep -qw second'
done
expect "$uid" "$(both id -u erin)" "erin's number"
loam group member del second bob 2>>"$DIR/commands.out"
for node in one two; do until_true 60 "bob stays in second on $node" on "$node" sh -c '! id -Gn bob | grep -qw second'; done
[ "$(on one loam node status --json | python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["enrolled"], s["nsswitch"], s["library"], s["looked"] > 0)')" = "True True True True" ] || fail "$(on one loam node status --json)"

step "a node's own people are never overruled"
loam user add carol >/dev/null 2>>"$DIR/commands.out"
loam group member add team carol 2>>"$DIR/commands.out"
loam user add dave --uid $((UID_alice + 50)) >/dev/null 2>>"$DIR/commands.out"
until_true 60 "carol on one" on one sh -c 'id -Gn carol | grep -qw team'
until_true 60 "dave is left out on two" on two sh -c "loam node status 2>&1 | grep -q 'left out: user dave .*squatter'"
expect 1500 "$(on two id -u carol)" "the second node's own carol"
on two id -Gn carol | says -w team && fail "a local user got the rights of another"
on two loam node status >"$DIR/status.out" 2>&1
grep -q 'left out: user carol' "$DIR/status.out" || fail "$(cat "$DIR/status.out")"
must_fail on two id dave

step "disabled: no login"
loam user disable erin 2>>"$DIR/commands.out"
for node in one two; do until_true 60 "erin may still log in on $node" on "$node" sh -c 'getent passwd erin | grep -q nologin$'; done
must_fail on one su erin -c true
loam user del bob >/dev/null 2>>"$DIR/commands.out"
for node in one two; do until_true 60 "bob is still known on $node" on "$node" sh -c '! id bob'; done

step "remove"
on one loam node remove 2>"$DIR/remove.out"
grep -q 'nsswitch.conf is as it was' "$DIR/remove.out" || fail "$(cat "$DIR/remove.out")"
cmp "$DIR/one.nsswitch" "$DIR/one/etc/nsswitch.conf" || fail "nsswitch.conf is not byte for byte what it was"
expect "$(stat -c '%a %u' "$DIR/one.nsswitch")" "$(stat -c '%a %u' "$DIR/one/etc/nsswitch.conf")" "mode and owner of nsswitch.conf"
[ -z "$(ls -A "$DIR/one/varlib/extrausers")" ] && [ ! -e "$DIR/one/varlib/loam-node" ] || fail "left behind: $(ls -lR "$DIR/one/varlib")"
must_fail on one id alice
# somebody else works on the file of the other node
sed -i 's/^hosts:.*/hosts:          files/' "$DIR/two/etc/nsswitch.conf"
on two loam node remove 2>"$DIR/remove.out"
grep -q 'changed by others' "$DIR/remove.out" || fail "$(cat "$DIR/remove.out")"
diff "$DIR/two.nsswitch" "$DIR/two/etc/nsswitch.conf" >"$DIR/diff.out" || true
[ "$(grep -c '^[<>]' "$DIR/diff.out")" = 2 ] && grep -q '^> hosts:          files$' "$DIR/diff.out" || fail "more than theirs is different: $(cat "$DIR/diff.out")"
sleep 3 # a mount that still looked would write again
[ -z "$(ls -A "$DIR/two/varlib/extrausers")" ] || fail "the mount writes names of a node that was removed"
host_files | cmp - "$DIR/host.before" || fail "the host's own files were changed"
for node in one two; do on "$node" loam umount "$DIR/mnt"; done
check_volume
