#!/bin/bash
# What people do with files does on the mount what it does on ext4: one script runs on both, as two users, and
# all that it prints is compared. Then git, tar and cp work in a home, and random operations end in equal trees.
. "$(dirname "$0")/lib.sh.inc"
story "files behave as on any Unix"
start_up
add_user alice
add_user bob
plain=$DIR/plain
mkdir -m 755 "$plain" "$plain/users" "$plain/groups"
chown "$(stat -c %u:%g "$MNT/groups")" "$plain/groups"
for user in alice bob; do
	uid=UID_$user
	install -d -m 700 -o "${!uid}" -g "${!uid}" "$plain/users/$user"
done
getfattr -n user.x "$plain" >/dev/null 2>&1 || setfattr -n user.x -v 1 "$plain" || skip "needs user xattrs in /tmp"
for where in "$MNT/groups" "$plain/groups"; do
	install -d -m 1777 "$where/open"
	install -d -m 2775 -o "$UID_alice" -g "$UID_bob" "$where/shared"
	install -d -m 2770 -o "$UID_alice" -g 4000 "$where/team"
	setfacl -m "u:$UID_bob:rwx,d:u:$UID_bob:rwx,d:g::rwx,d:m::rwx,d:o::---" "$where/team"
done

# ---- what is printed by both -----------------------------------------------------------------------
try() # COMMAND …: its last word of failure, or its output
{
	local out
	if out=$("$@" 2>&1); then
		printf '%s: ok%s\n' "$*" "${out:+ $out}"
	else
		printf '%s: %s\n' "$*" "$(printf %s "${out##*: }" | tr '\n' ' ')"
	fi
}
list() { find "$@" ! -type d -printf '%p %M %n %s %U %G %l\n' -o -type d -printf '%p %M %n %U %G\n' | LC_ALL=C sort; }

modes_and_names()
{
	umask 022; echo a >f; chmod 640 f; try stat -c %a f
	umask 077; echo a >g; mkdir d; try stat -c %a g d
	umask 000; echo a >h; mkdir e; try stat -c %a h e
	umask 022
	try chmod 4755 f; try stat -c %a f
	try chmod 2755 d; try stat -c %a d; mkdir d/inner; try stat -c '%a %g' d/inner
	try chown 0 f; try chgrp 0 f; try chown "$(id -u):$(id -g)" f; try stat -c '%a %u' f
	try ln f hard; try stat -c %h f; try ln -s f soft; try ln -s nowhere lost; try cat lost; try readlink lost
	try ln d dhard; try ln f hard; try mv f d/moved; try mv d/moved f; try stat -c %h f hard
	try rmdir d; try rm d; try rm -r d; try mkdir e; try mkdir -p p/q/r; try mv p p/q; try mv p/q e; try mv e/q/r .
	try rmdir r; mkdir x y; echo 1 >y/1; try mv -T x y; try mv -T y x; try mv -T f x; try mv -T x f
	try touch "$(printf 'n%.0s' $(seq 255))"; try touch "$(printf 'n%.0s' $(seq 256))"
	try mkdir "$(printf 'ü%.0s' $(seq 127))"; try touch "$(printf 'ü%.0s' $(seq 128))"
	try touch $'bytes\xff\xfe\x01'; try touch $'line\nbreak'; try touch ' '; try touch ...; try touch -- -n
	try ln -s "$(printf 's%.0s' $(seq 4094))" long; try ln -s "$(printf 's%.0s' $(seq 4096))" longer; try ln -s '' none
	try mkfifo fifo; try mknod device c 1 3; try touch -d @1234567890.123456789 h; try stat -c '%y' h
	try touch -h -d @5 soft; try stat -c %Y soft; try touch -d @4294967299 h; try stat -c %Y h
	try cat d0; try ls f/x; try cat /dev/null/x; try cp f f; try truncate -s 5 h; try cat h/; try ls nodir/
	list .
}
contents()
{
	echo 12345 >f; truncate -s 3 f; try cat f; truncate -s 6 f; try od -An -c f; printf xy | dd of=f bs=1 seek=8 conv=notrunc status=none
	try od -An -c f; truncate -s 0 f; try stat -c %s f
	exec 8<>f; rm f; echo gone >&8; try cat /dev/fd/8; try stat -Lc %h /dev/fd/8; exec 8>&-; try cat f
	echo old >o; echo new >n; exec 8<o; mv n o; try cat <&8; try cat o; exec 8<&-
	fallocate -l 100000 a; try stat -c %s a; fallocate -n -l 200000 a; try stat -c %s a; seq 30000 | head -c 100000 >r; cp r p
	fallocate -p -o 4096 -l 8192 p; try cmp -n 4096 r p; cmp -s r p || echo punched; try stat -c %s p
	try cmp <(tail -c +12289 r) <(tail -c +12289 p); fallocate -z -o 10 -l 20 p; od -An -tx1 -j 8 -N 24 p | tr -d x
	fallocate -z -o 99990 -l 100 p; try stat -c %s p
	truncate -s 50M sparse; printf end >>sparse; cp --sparse=always sparse copy; try cmp sparse copy
	for i in 1 2 3 4; do (for k in $(seq 200); do echo "$i $k a line that is appended"; done >>log) & done; wait
	try wc -lc log; sort -u log | wc -l
	echo x >ro; chmod 444 ro; (echo y >>ro) 2>/dev/null || echo refused; try cp --reflink=auto r r2; try cmp r r2
	try dd if=/dev/zero of=big bs=1 seek=9223372036854775807 count=1 status=none; try truncate -s 1T huge; try stat -c %s huge
	rm huge sparse copy
	list . | sed 's/ big .*//'
}
extended()
{
	touch f; ln -s f l; mkdir d
	try setfattr -n user.a -v 1 f; try getfattr --only-values -n user.a f; try setfattr -n user.b f; try getfattr f; try getfattr d
	try setfattr -x user.a f; try setfattr -x user.a f; try getfattr -n user.a f; try setfattr -h -n user.a -v 1 l
	try setfattr -n trusted.a -v 1 f; try setfattr -n security.capability -v 1 f
	try setfattr -n "user.$(printf 'n%.0s' $(seq 250))" -v 1 f; try setfattr -n "user.$(printf 'n%.0s' $(seq 251))" -v 1 f
	try setfattr -n "user.v" -v "$(head -c 1000 /dev/zero | tr '\0' v)" f; try getfattr -d f; chmod 400 f; try setfattr -n user.c -v 1 f
}
acls()
{
	echo x >f; chmod 640 f; try setfacl -m u:4001:rw,g:4002:r f; try getfacl -cn f; try stat -c %a f
	try chmod 600 f; try getfacl -cn f; try chmod 666 f; try getfacl -cn f; try setfacl -m m::r f; try getfacl -cn f
	mkdir d; try setfacl -m d:u:4001:rwx,d:g::rx,d:o::- d; try getfacl -cn d; echo y >d/f; mkdir d/d; try getfacl -cn d/f; try getfacl -cn d/d
	umask 077; echo y >d/g; mkdir d/e; try getfacl -cn d/g; try getfacl -cn d/e; umask 022
	cp -a d copy; tar --acls -cf t.tar d; mkdir out; tar --acls -C out -xf t.tar; find copy out | LC_ALL=C sort | xargs getfacl -cn
	try setfacl -b f; try getfacl -cn f; try setfacl -k d; try getfacl -cn d; try setfacl -m d:u:4001:r f; try setfacl -x u:9999 f
	list .
}
in_shared() # 1: alice, 2: bob, 3: alice
{
	case $1 in
	1)
		umask 022; echo a >open/a; mkdir open/da shared/da; echo a >shared/a; echo a >team/a; mkdir team/da; chmod 600 users_only 2>/dev/null
		try stat -c '%a %g' shared/da shared/a; try getfacl -cn team/a team/da; touch shared/given; try chgrp 4000 shared/given
		;;
	2)
		umask 022; try rm -f open/a; try mv open/a open/b; try mv open/da open/db; try touch open/da/x; try rmdir open/da; echo b >open/b; try rm open/b
		try touch shared/b; try rm -f shared/a; try sh -c 'echo b >>shared/a'; try sh -c 'echo b >>team/a'; try cat team/a; try touch team/da/b
		try chmod 777 team/a; try chown "$(id -u)" team/a; try touch -d @5 team/a; try touch team/a; try setfacl -m u:4001:r team/a
		try setfattr -n user.x -v 1 team/a; try rm team/a; try ls ../users/alice; try cat ../users/alice/modes/h; try ln shared/given shared/mine
		;;
	3) try rm -rf shared/b; try ls team/da; try mv open/a open/c; list . ;;
	esac
}
export -f try list modes_and_names contents extended acls in_shared

# both NAME USER PLACE FUNCTION [ARG]: as USER below PLACE on the mount and on ext4
both()
{
	local name=$1 user=$2 place=$3 where
	shift 3
	for where in "$MNT" "$plain"; do
		as "$user" env LC_ALL=C.UTF-8 bash -c "cd '$where/$place' && $*" >"$DIR/$name.${where##*/}" 2>&1 || true
	done
	diff "$DIR/$name.plain" "$DIR/$name.mnt" >"$DIR/$name.diff" || { head -60 "$DIR/$name.diff" >&2; DIFFERENT+=" $name"; }
}
DIFFERENT=
for part in modes_and_names contents extended acls; do
	step "$part"
	both "dir-$part" alice users/alice mkdir "$part"
	both "$part" alice "users/alice/$part" "$part"
done
step "two users in shared folders"
both shared-1 alice groups in_shared 1
both shared-2 bob groups in_shared 2
both shared-3 alice groups in_shared 3
[ -z "$DIFFERENT" ] || fail "other than on ext4:$DIFFERENT"

step "git, cp and tar in a home; 10,000 entries; a deep tree"
home=$MNT/users/alice
as alice bash -ec "cd $home && git init -q repo && cd repo && for i in \$(seq 200); do mkdir -p d\$((i % 7)); echo \$i >d\$((i % 7))/f\$i; done &&
	git add . && git commit -qm one && git mv d1 moved && git commit -qm two && git gc -q && git fsck --no-progress && git clone -q . ../copy &&
	git -C ../copy checkout -q HEAD~1 && git status --porcelain" >"$DIR/git.out" 2>&1 || fail "git: $(cat "$DIR/git.out")"
[ -s "$DIR/git.out" ] && fail "git: $(cat "$DIR/git.out")"
as alice bash -ec "cd $home && cp -a repo again && diff -r repo again && tar cf r.tar repo && mkdir x && tar xf r.tar -C x && diff -r repo x/repo &&
	diff <(cd repo && find . -type f -printf '%p %M %T@\n' | sort) <(cd again && find . -type f -printf '%p %M %T@\n' | sort) && rm -r repo copy again x r.tar"
as alice bash -ec "mkdir $home/many && cd $home/many && seq 10000 | xargs touch && [ \$(ls | wc -l) = 10000 ] && [ \$(ls -U | sort -n | uniq | wc -l) = 10000 ] &&
	cd .. && rm -r many"
as alice bash -ec "cd $home && p=\$(printf 'd/%.0s' \$(seq 300)) && mkdir -p \$p && echo deep >\$p/f && [ \$(find d -type d | wc -l) = 300 ] && cat \$p/f && rm -r d" | says -x deep ||
	fail "a deep tree"
[ "$(df --output=fstype "$MNT" | tail -1)" = fuse.loam ] || fail "df: $(df "$MNT")"

step "trusted names are root's"
setfattr -n trusted.secret -v 1 "$MNT/groups/open"
as alice getfattr -m - -d "$MNT/groups/open" 2>&1 | grep trusted && fail "trusted names are listed to users"
must_fail as alice getfattr -n trusted.secret "$MNT/groups/open"
getfattr -m - "$MNT/groups/open" 2>/dev/null | says trusted.secret || fail "root does not see trusted names"
check_volume
