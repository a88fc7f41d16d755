#!/bin/bash
# Somebody pushes in the very moment in which a directory becomes a commit: a copy that knows what it was made
# from is merged with it, a directory that does not is refused. Nobody's work is undone.
. "$(dirname "$0")/lib.sh.inc"
story "a lost race"
start_up
add_user alice
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
as alice loam login --user alice "$URL" <<<"$TOKEN_alice" >>"$DIR/commands.out" 2>&1 || fail "login"
tree=$MNT/models/alice/model
w=$MNT/users/alice/w
bare=$DIR/v/git/models/alice/model.git
as alice mkdir "$w"
echo 1 | as alice tee "$w/mine" >/dev/null
echo 1 | as alice tee "$w/theirs" >/dev/null
as alice loam publish "$w" alice/model >>"$DIR/commands.out" 2>&1 || fail "the first: $(tail -2 "$DIR/commands.out")"
service() { setpriv --reuid "$(stat -c %u "$bare")" --regid "$(stat -c %g "$bare")" --clear-groups -- "$@"; }
in_bare() { HOME=$DIR/v service git -c safe.directory='*' -c user.name=x -c user.email=x@y -C "$bare" "$@"; }
head() { in_bare rev-parse refs/heads/main; }
push_theirs() # TEXT: as a push would, on top of the branch
{
	local blob commit
	blob=$(in_bare hash-object -w --stdin <<<"$1")
	commit=$(in_bare ls-tree main | sed "s/[0-9a-f]\{40\}\ttheirs$/$blob\ttheirs/" | in_bare mktree)
	commit=$(in_bare commit-tree -p main -m "theirs: $1" "$commit" </dev/null)
	in_bare update-ref refs/heads/main "$commit"
}
# publish_while_pushed TEXT: the server stands still before it moves the branch; then TEXT is pushed
publish_while_pushed()
{
	local pid state i
	stop_up
	LOAM_FAILPOINT=commit_dir.before_ref:pause:1 start_up
	as alice loam publish "$w" alice/model >"$DIR/publish.out" 2>&1 &
	local client=$!
	pid=$(child_pid serve)
	for i in $(seq 600); do
		state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat")
		[ "$state" = T ] && break
		sleep 0.1
	done
	[ "$state" = T ] || fail "the server did not come to that point: $(cat "$DIR/publish.out")"
	push_theirs "$1"
	kill -CONT "$pid"
	PUBLISHED=0
	wait "$client" || PUBLISHED=$?
}

step "a copy of an earlier commit is merged"
echo 2 | as alice tee "$w/mine" >/dev/null
publish_while_pushed 2
[ "$PUBLISHED" = 0 ] || fail "the merge: $(cat "$DIR/publish.out")"
grep -q 'others had published meanwhile: merged' "$DIR/publish.out" || fail "it does not say so: $(cat "$DIR/publish.out")"
[ "$(cat "$tree/mine" "$tree/theirs")" = "2
2" ] || fail "the tree: $(cat "$tree/mine" "$tree/theirs")"

step "the same file on both sides: refused, nothing is undone"
echo mine | as alice tee "$w/theirs" >/dev/null
must_fail as alice loam publish "$w" alice/model
grep -q 'the same files since this copy was made: theirs' "$DIR/refused.out" || fail "why: $(cat "$DIR/refused.out")"
[ "$(cat "$tree/theirs")" = 2 ] && [ "$(cat "$w/theirs")" = mine ] || fail "something is lost"

step "a directory that knows no base: refused when the branch moves under it"
echo 1 | as alice tee "$w/theirs" >/dev/null
as alice setfattr -x user.loam.commit "$w"
publish_while_pushed 4
[ "$PUBLISHED" != 0 ] || fail "a lost race was won"
grep -q 'somebody else has changed the branch in this moment. Nothing was published' "$DIR/publish.out" || fail "why: $(cat "$DIR/publish.out")"
[ "$(in_bare cat-file blob main:theirs)" = 4 ] && [ "$(cat "$w/theirs")" = 1 ] || fail "something is lost"
as alice loam publish "$w" alice/model >"$DIR/publish.out" 2>&1 || fail "once more, knowingly: $(cat "$DIR/publish.out")"
[ "$(cat "$tree/theirs")" = 1 ] || fail "the tree at last"
check_volume
