#!/bin/bash
# A group as its administrator and its members type it: made, filled, managed; its directory shared whatever the
# umask; setfacl and getfacl on workspaces and group directories as on any Unix; removed, set aside, its number
# never given again.
. "$(dirname "$0")/lib.sh.inc"
story "a group shares"
start_up
for name in alice bob carol; do add_user $name; done
said() { grep -q -- "$1" "$DIR/said" || fail "no '$1' in: $(cat "$DIR/said")"; }
# in_group NAME COMMAND …: as after a login: with the supplementary group team
in_group()
{
	local name=$1 uid=UID_$1
	shift
	HOME="$DIR/home/$name" setpriv --reuid "${!uid}" --regid "${!uid}" --groups "${!uid},$TEAM" -- "$@"
}

step "made, with a number of the one counter, and shown"
TEAM=$(loam group add team 2>"$DIR/said")
said 'loam group member add team USER'
[ "$TEAM" = $((UID_carol + 1)) ] || fail "gid $TEAM"
loam group member add team alice --manager 2>>"$DIR/commands.out"
loam group member add team bob 2>>"$DIR/commands.out"
loam group show team --json | python3 -c 'import json, sys
got = json.load(sys.stdin)
assert got == {"name": "team", "gid": int(sys.argv[1]), "members": ["alice", "bob"], "managers": ["alice"]}, got' "$TEAM"
loam group show team | says 'alice (manager) bob' || fail "group show: $(loam group show team)"
[ "$(loam group list | wc -l)" = 1 ] || fail "the users' own groups are listed: $(loam group list)"
dave=$(loam user add dave --group team 2>/dev/null)
loam group show team | says dave || fail "user add --group"

step "what is refused says why in one line"
refused() # COMMAND …
{
	must_fail "$@"
	[ "$(wc -l <"$DIR/refused.out")" = 1 ] || fail "not one line: $(cat "$DIR/refused.out")"
}
refused loam group add team
refused loam group add alice
refused loam user add team
refused loam group add Team
refused loam group add root
refused loam group add x --gid "$UID_alice"
refused loam group member add team nobodyknows
refused loam group member add none bob
refused loam group member add alice bob
refused loam group member del team carol
refused loam group del alice
refused loam user add erin --group none
refused loam user show erin

step "the directory is the group's, whatever a member's umask"
dir=$MNT/groups/team
[ "$(stat -c '%a %u %g' "$dir")" = "2770 20000 $TEAM" ] || fail "directory: $(stat -c '%a %u %g' "$dir")"
in_group alice sh -c "umask 077; mkdir $dir/data && echo one >$dir/data/file && echo two >$dir/top"
[ "$(stat -c '%a %g' "$dir/data" "$dir/data/file" "$dir/top" | sort -u | tr '\n' ' ')" = "2770 $TEAM 660 $TEAM " ] ||
	fail "made by alice: $(stat -c '%a %g %n' "$dir/data" "$dir/data/file" "$dir/top")"
in_group bob sh -c "echo more >>$dir/data/file && mv $dir/top $dir/data/ && mkdir $dir/data/sub && touch $dir/data/sub/x"
[ "$(in_group alice cat "$dir/data/file" | tr '\n' ' ')" = "one more " ] || fail "bob's line"
in_group alice rm -r "$dir/data/sub"
must_fail as carol ls "$dir"
must_fail as carol touch "$dir/x"
must_fail in_group alice chmod 777 "$dir"
as alice loam clone "$MNT/groups" "$MNT/users/alice/none" >/dev/null 2>&1 && fail "a clone of what she may not read"
in_group alice loam clone "$dir/data" "$dir/copy" >/dev/null 2>&1 || fail "a member's clone in the group's directory"
[ "$(stat -c %g "$dir/copy/file")" = "$TEAM" ] || fail "the clone's group: $(stat -c %g "$dir/copy/file")"

step "setfacl and getfacl on a workspace: users, groups by number, defaults, masks"
home=$MNT/users/alice
as alice sh -c "echo secret >$home/file && mkdir $home/shared && echo s >$home/shared/s"
must_fail as bob cat "$home/file"
as alice setfacl -m "g:$TEAM:r-x" "$home"
as alice setfacl -m "g:$TEAM:rw-" "$home/file"
[ "$(in_group bob cat "$home/file")" = secret ] || fail "a supplementary group by its entry"
in_group bob sh -c "echo more >>$home/file"
must_fail as bob cat "$home/file"
must_fail as carol cat "$home/file"
as alice getfacl -pn "$home/file" | says -x "group:$TEAM:rw-" || fail "getfacl: $(getfacl -pn "$home/file")"
as alice setfacl -m m::r-- "$home/file"
must_fail in_group bob sh -c "echo no >>$home/file"
[ "$(in_group bob cat "$home/file" | head -1)" = secret ] || fail "the mask took the reading too"
as alice chmod 640 "$home/file"
as alice getfacl -pn "$home/file" | says -x 'mask::r--' || fail "chmod is not the mask"
as alice setfacl -m "u:$UID_carol:--x" "$home"
as alice setfacl -R -m "u:$UID_carol:rX,d:u:$UID_carol:rX,d:g:$TEAM:rwX" "$home/shared"
[ "$(as carol cat "$home/shared/s")" = s ] || fail "carol by -R"
as alice sh -c "umask 077; echo new >$home/shared/new; mkdir $home/shared/deep"
as carol cat "$home/shared/new" >/dev/null || fail "a default entry does not reach a new file"
in_group bob touch "$home/shared/deep/bobs" || fail "a default group entry does not reach a new directory"
as alice setfacl -x "u:$UID_carol" "$home"
must_fail as carol cat "$home/shared/s"
must_fail as bob setfacl -m "u:$UID_bob:rwx" "$home"
must_fail in_group bob setfacl -m "u:$UID_bob:rwx" "$home/file"
as alice setfacl -b "$home"
[ "$(stat -c %a "$home")" = 700 ] || fail "setfacl -b leaves $(stat -c %a "$home")"
must_fail in_group bob cat "$home/file"
in_group alice setfacl -m "u:$UID_carol:r-x" "$dir/data"
must_fail as carol ls "$dir/data" # the way there is the group's
getfacl -pn "$dir" | says -x 'default:group::rwx' || fail "default ACL: $(getfacl -pn "$dir")"

step "removed: set aside for root, its number is nobody's any more"
loam group del team
must_fail ls "$MNT/groups/team"
[ "$(stat -c '%A %u' "$MNT/groups/.removed-team-$TEAM")" = "drwx--S--- 0" ] || fail "set aside: $(ls -la "$MNT/groups")"
must_fail in_group alice ls "$MNT/groups/.removed-team-$TEAM"
[ -f "$MNT/groups/.removed-team-$TEAM/data/file" ] || fail "its files are gone"
refused loam group add other --gid "$TEAM"
refused loam user add other --uid "$TEAM"
again=$(loam group add team 2>/dev/null)
[ "$again" -gt "$TEAM" ] || fail "the new team has $again"
[ -z "$(ls -A "$MNT/groups/team")" ] || fail "the new team's directory is not empty"
loam group member add team dave 2>>"$DIR/commands.out"
loam user del dave
[ "$(loam group show team --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["members"])')" = "[]" ] ||
	fail "a removed user is still a member"
refused loam user add eve --uid "$dave"
[ "$(loam user add dave 2>/dev/null)" -gt "$dave" ] || fail "dave's number was given again"
check_volume
