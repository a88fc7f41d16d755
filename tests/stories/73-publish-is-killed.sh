#!/bin/bash
# The server dies while a directory becomes a commit: before the branch moved nothing has happened, behind it
# the commit stands and is published at the next start. Either way the user just says it again.
. "$(dirname "$0")/lib.sh.inc"
story "publish is killed"
expect_log_errors
start_up
add_user alice
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
as alice loam login --user alice "$URL" <<<"$TOKEN_alice" >>"$DIR/commands.out" 2>&1 || fail "login"
tree=$MNT/models/alice/model
w=$MNT/users/alice/w
bare=$DIR/v/git/models/alice/model.git
as alice mkdir "$w"
head -c $((12 << 20)) /dev/urandom | as alice tee "$w/large.bin" >/dev/null
echo 1 | as alice tee "$w/small" >/dev/null
as alice loam publish "$w" alice/model >>"$DIR/commands.out" 2>&1 || fail "the first: $(tail -2 "$DIR/commands.out")"
head() { command git -C "$bare" rev-parse refs/heads/main; }
shown() { getfattr --only-values -n user.loam.commit "$tree" 2>/dev/null; }

number=1
for point in workspace.walked commit_dir.before_ref commit_dir.committed publish.built publish.committed; do
	step "killed at $point"
	stop_up
	number=$((number + 1))
	rm -f "$DIR/reached"
	install -m 666 /dev/null "$DIR/reached" # serve is not root
	LOAM_FAILPOINT=$point:kill:1 LOAM_FAILPOINT_LOG=$DIR/reached start_up
	before=$(head)
	echo $number | as alice tee "$w/small" >/dev/null
	command head -c $((12 << 20)) /dev/urandom | as alice tee "$w/large$number.bin" >/dev/null
	must_fail as alice loam publish "$w" alice/model
	grep -q "^$point" "$DIR/reached" || fail "$point was not reached: $(cat "$DIR/refused.out" "$DIR/reached")"
	stop_up
	start_up
	if [ "$point" = commit_dir.before_ref ] || [ "$point" = workspace.walked ]; then
		[ "$(head)" = "$before" ] && [ "$(shown)" = "$before" ] || fail "the branch moved"
	else
		[ "$(head)" != "$before" ] || fail "the branch did not move"
		for i in $(seq 300); do
			[ "$(shown)" = "$(head)" ] && break
			sleep 0.1
		done
		[ "$(shown)" = "$(head)" ] || fail "the commit was not published at the start"
	fi
	as alice loam publish "$w" alice/model >"$DIR/publish.out" 2>&1 || fail "once more: $(cat "$DIR/publish.out")"
	[ -z "$(find "$bare" -name 'tmp_*' -o -name '*.lock')" ] || fail "left behind: $(find "$bare" -name 'tmp_*')"
	[ "$(cat "$tree/small")" = $number ] && cmp "$w/large$number.bin" "$tree/large$number.bin" || fail "the tree"
	check_volume
done
