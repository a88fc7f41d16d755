#!/bin/bash
# A reader takes a repository over into a namespace of his own: same history, same tree, no byte stored twice,
# none of the rights; and it lives on when the source is deleted.
. "$(dirname "$0")/lib.sh.inc"
story "fork a repository"
start_up
for name in alice bob carol; do add_user $name; done
for name in alice bob carol; do
	token=TOKEN_$name
	as $name loam login --user $name "$URL" <<<"${!token}" >>"$DIR/commands.out" 2>&1 || fail "login: $(tail -3 "$DIR/commands.out")"
done
as alice loam repo create alice/model >>"$DIR/commands.out" 2>&1
loam grant bob read alice/model 2>>"$DIR/commands.out"
work=$DIR/home/alice/w
clone_as alice alice/model "$work"
as alice git -C "$work" lfs track '*.bin' >>"$DIR/commands.out"
for version in one two; do
	head -c $((8 << 20)) /dev/urandom | as alice tee "$work/model.bin" >/dev/null
	echo $version | as alice tee "$work/README" >/dev/null
	as alice git -C "$work" add -A
	as alice git -C "$work" commit -qm $version
	as alice git -C "$work" tag $version
done
as alice git -C "$work" branch old HEAD~1
as alice git -C "$work" push -q --all origin 2>>"$DIR/commands.out"
as alice git -C "$work" push -q --tags origin 2>>"$DIR/commands.out"

step "who may read may fork; nothing is stored twice"
before=$(blocks_bytes)
url=$(as bob loam repo fork alice/model bob/mine 2>"$DIR/fork.out") || fail "fork: $(cat "$DIR/fork.out")"
[ "$url" = "$URL/bob/mine.git" ] || fail "the URL: $url"
grep -q 'models/bob/mine is a fork of models/alice/model: 4 refs, 2 LFS objects' "$DIR/fork.out" || fail "the line: $(cat "$DIR/fork.out")"
[ "$(($(blocks_bytes) - before))" -lt 65536 ] || fail "the fork stored $(($(blocks_bytes) - before)) bytes"
diff -r "$MNT/models/alice/model" "$MNT/models/bob/mine" || fail "another tree"
clone_as bob bob/mine "$DIR/home/bob/m"
as bob git -C "$DIR/home/bob/m" lfs pull
same_as_checkout "$DIR/home/bob/m" "$MNT/models/bob/mine"
as bob git -C "$DIR/home/bob/m" checkout -q one
as bob git -C "$DIR/home/bob/m" lfs pull
[ "$(cat "$DIR/home/bob/m/README")" = one ] && [ "$(stat -c %s "$DIR/home/bob/m/model.bin")" = $((8 << 20)) ] || fail "an old version"

step "it is the forker's, and private"
must_fail as alice cat "$MNT/models/bob/mine/README"
must_fail as alice git ls-remote "$URL/bob/mine.git"
must_fail as carol cat "$MNT/models/bob/mine/README"
as bob git -C "$DIR/home/bob/m" checkout -q main
echo mine | as bob tee "$DIR/home/bob/m/mine" >/dev/null
as bob git -C "$DIR/home/bob/m" add mine
as bob git -C "$DIR/home/bob/m" commit -qm mine
as bob git -C "$DIR/home/bob/m" push -q 2>"$DIR/push.out" || fail "a push: $(cat "$DIR/push.out")"
[ "$(cat "$MNT/models/bob/mine/mine")" = mine ] && [ ! -e "$MNT/models/alice/model/mine" ] || fail "a push into the fork"

step "refused: what one may not read, a name that is taken, a namespace of others"
must_fail as carol loam repo fork alice/model carol/mine
grep -q "no repository 'models/alice/model'" "$DIR/refused.out" || fail "a stranger's fork: $(cat "$DIR/refused.out")"
must_fail as carol loam repo fork alice/nothing carol/mine
grep -q "no repository 'models/alice/nothing'" "$DIR/refused.out" || fail "a fork of nothing: $(cat "$DIR/refused.out")"
[ ! -e "$MNT/models/carol" ] || fail "a refused fork made something"
must_fail as bob loam repo fork alice/model bob/mine
must_fail as bob loam repo fork alice/model alice/other
[ ! -e "$MNT/models/alice/other" ] || fail "a fork in another's namespace"

step "the source goes, the fork stays; the administrator forks by the same verb"
loam repo fork bob/mine team/shared --owner carol --visibility internal >"$DIR/fork.out" 2>&1 || fail "the administrator's: $(cat "$DIR/fork.out")"
as alice cat "$MNT/models/team/shared/README" >/dev/null || fail "an internal fork"
[ -z "$(find "$DIR/v/git/models/team/shared.git" -type d -user root)" ] || fail "directories of root: serve cannot write there"
clone_as carol team/shared "$DIR/home/carol/s"
echo more | as carol tee "$DIR/home/carol/s/more" >/dev/null
as carol git -C "$DIR/home/carol/s" add more
as carol git -C "$DIR/home/carol/s" commit -qm more
as carol git -C "$DIR/home/carol/s" push -q origin main 2>"$DIR/push.out" || fail "a push into it: $(cat "$DIR/push.out")"
[ "$(cat "$MNT/models/team/shared/more")" = more ] || fail "not published"
loam repo delete alice/model 2>>"$DIR/commands.out" || fail "delete"
cmp "$DIR/home/bob/m/model.bin" "$MNT/models/bob/mine/model.bin" || fail "the fork lost its bytes"
check_volume --deep
