#!/bin/bash
# A student who does not know Git: a copy on the mount, changed with ordinary tools, becomes a commit by
# `loam publish`. What he did not touch is not read, what is large is not copied, and a stock client clones
# exactly what stands in his directory.
. "$(dirname "$0")/lib.sh.inc"
story "publish a workspace"
start_up
for name in alice dave carol; do add_user $name; done
loam repo create team/model --owner alice >>"$DIR/commands.out" 2>&1
loam grant dave write team/model 2>>"$DIR/commands.out"
loam grant carol read team/model 2>>"$DIR/commands.out"
tree=$MNT/models/team/model
for name in alice dave carol; do
	token=TOKEN_$name
	as $name loam login --user $name "$URL" <<<"${!token}" >>"$DIR/commands.out" 2>&1 || fail "login: $(tail -3 "$DIR/commands.out")"
done
publish() # NAME DIR [options]: the answer in $DIR/publish.json
{
	local name=$1 dir=$2
	shift 2
	as "$name" loam publish --json "$@" "$dir" team/model >"$DIR/publish.json" 2>"$DIR/publish.out" || return 1
}
must_publish() { publish "$@" || fail "publish: $(cat "$DIR/publish.out")"; }
answer() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$DIR/publish.json" "$1"; }
refused() # PATTERN NAME DIR: nothing moves
{
	local pattern=$1 before
	shift
	before=$(getfattr --only-values -n user.loam.commit "$tree" 2>/dev/null)
	publish "$@" && fail "this should have been refused: $(cat "$DIR/publish.json")"
	grep -qE "$pattern" "$DIR/publish.out" || fail "the reason is not /$pattern/: $(cat "$DIR/publish.out")"
	[ "$(getfattr --only-values -n user.loam.commit "$tree" 2>/dev/null)" = "$before" ] || fail "the branch moved"
}
same_as_clone() # DIR: a stock clone has what stands there, but .gitignored files and the lines for LFS
{
	rm -rf "$DIR/home/alice/check"
	clone_as alice team/model "$DIR/home/alice/check"
	as alice git -C "$DIR/home/alice/check" lfs pull
	diff -r --exclude=.git --exclude=.gitattributes "$DIR/home/alice/check" "$1" >"$DIR/diff.out" || fail "a clone differs: $(head -3 "$DIR/diff.out")"
	[ -z "$(as alice git -C "$DIR/home/alice/check" status --porcelain)" ] || fail "a clone is not clean: $(as alice git -C "$DIR/home/alice/check" status --porcelain)"
	same_as_checkout "$DIR/home/alice/check" "$tree"
}

step "the first version, from a directory that Git has never seen"
w=$MNT/users/alice/w
as alice mkdir -p "$w/code"
head -c $((64 << 20)) /dev/urandom | as alice tee "$w/weights one.bin" >/dev/null
echo 'print("hello")' | as alice tee "$w/code/run.py" >/dev/null
as alice chmod +x "$w/code/run.py"
echo "a model" | as alice tee "$w/README.md" >/dev/null
as alice ln -s README.md "$w/link"
before=$(blocks_bytes)
must_publish alice "$w" -m "the first version"
[ "$(answer hashed_bytes)" = $((64 << 20)) ] || fail "what was read: $(cat "$DIR/publish.json")"
[ "$(($(blocks_bytes) - before))" -lt $((1 << 20)) ] || fail "publishing stored $(($(blocks_bytes) - before)) bytes"
grep -q 'team/model@.* is on the mount: 5 files' "$DIR/publish.out" || fail "the line: $(cat "$DIR/publish.out")"
same_as_clone "$w"
as alice git -C "$DIR/home/alice/check" log -1 --format='%an %ae %s' >"$DIR/log"
[ "$(cat "$DIR/log")" = "alice alice@example.com the first version" ] || fail "the author: $(cat "$DIR/log")"
must_publish alice "$w"
grep -q 'nothing to publish' "$DIR/publish.out" || fail "an empty change: $(cat "$DIR/publish.out")"
[ "$(answer hashed_files)" = 0 ] || fail "an empty change read large files: $(cat "$DIR/publish.json")"

step "a copy: one small file changed, a large one new, the large old one is not read"
as dave loam clone -q "$tree" "$MNT/users/dave/w" || fail "clone"
d=$MNT/users/dave/w
head -c $((64 << 20)) /dev/urandom | as dave tee "$d/second.bin" >/dev/null
echo "a better model" | as dave tee "$d/README.md" >/dev/null
as dave rm "$d/link"
echo '*.tmp' | as dave tee "$d/.gitignore" >/dev/null
echo scratch | as dave tee "$d/x.tmp" >/dev/null
before=$(blocks_bytes)
must_publish dave "$d"
[ "$(answer hashed_files)" = 1 ] && [ "$(answer hashed_bytes)" = $((64 << 20)) ] || fail "what was hashed: $(cat "$DIR/publish.json")"
[ "$(answer known_files)" = 3 ] || fail "what was known: $(cat "$DIR/publish.json")" # weights, run.py, .gitattributes
[ "$(($(blocks_bytes) - before))" -lt $((1 << 20)) ] || fail "publishing stored $(($(blocks_bytes) - before)) bytes"
[ ! -e "$tree/x.tmp" ] && [ ! -e "$tree/link" ] || fail "an ignored or deleted file stands there"
as dave rm "$d/x.tmp"
same_as_clone "$d"

step "two people at once: different files are merged, the same file is refused and nothing is lost"
as alice loam clone -q "$tree" "$MNT/users/alice/c"
as dave loam clone -q "$tree" "$MNT/users/dave/c"
echo "alice's" | as alice tee "$MNT/users/alice/c/a.txt" >/dev/null
echo "dave's" | as dave tee "$MNT/users/dave/c/d.txt" >/dev/null
as alice loam publish "$MNT/users/alice/c" team/model >"$DIR/a.out" 2>&1 &
pid=$!
as dave loam publish "$MNT/users/dave/c" team/model >"$DIR/d.out" 2>&1 || fail "dave's: $(cat "$DIR/d.out")"
wait $pid || fail "alice's: $(cat "$DIR/a.out")"
grep -qh 'others had published meanwhile: merged' "$DIR/a.out" "$DIR/d.out" || fail "no merge: $(cat "$DIR/a.out" "$DIR/d.out")"
[ "$(cat "$tree/a.txt" "$tree/d.txt")" = "alice's
dave's" ] || fail "both changes"
echo "alice says" | as alice tee "$MNT/users/alice/c/README.md" >/dev/null
echo "dave says" | as dave tee "$MNT/users/dave/c/README.md" >/dev/null
must_publish alice "$MNT/users/alice/c"
refused 'same files since this copy was made: README.md' dave "$MNT/users/dave/c"
[ "$(cat "$MNT/users/dave/c/README.md")" = "dave says" ] && [ "$(cat "$tree/README.md")" = "alice says" ] || fail "something was lost"

step "a push with Git in between is kept as well"
clone_as alice team/model "$DIR/home/alice/git"
echo pushed | as alice tee "$DIR/home/alice/git/pushed.txt" >/dev/null
as alice git -C "$DIR/home/alice/git" add pushed.txt
as alice git -C "$DIR/home/alice/git" commit -qm pushed
as alice git -C "$DIR/home/alice/git" push -q 2>>"$DIR/commands.out"
echo more | as alice tee "$MNT/users/alice/c/more.txt" >/dev/null
must_publish alice "$MNT/users/alice/c"
[ "$(answer merged)" = True ] && [ "$(cat "$tree/pushed.txt" "$tree/more.txt")" = "pushed
more" ] || fail "the push is not kept: $(cat "$DIR/publish.json")"

step "who may not, and what may not"
refused "carol may read .* but not change it" carol "$MNT/users/carol"
refused 'Permission denied' dave "$w"
# a client that makes up what it cannot see: the server asks the directory's rights itself
body=$(python3 -c 'import json, os, sys; s = os.stat(sys.argv[1]); print(json.dumps({"ino": s.st_ino, "changed_sec":
	s.st_ctime_ns // 10**9, "changed_nsec": s.st_ctime_ns % 10**9, "message": "not mine"}))' "$w")
expect 403 "$(http_status -H "Authorization: Bearer $TOKEN_dave" -H 'Content-Type: application/json' -d "$body" \
	"$URL/api/v1/repos/models/team/model/publish")" "another's directory"
grep -q 'you may not read this directory' "$DIR/http.out" || fail "another's directory: $(cat "$DIR/http.out")"
for odd in '{}' '{"ino":1}' '{"ino":"x","changed_sec":1,"changed_nsec":1,"message":"m"}' \
	'{"ino":1,"changed_sec":1,"changed_nsec":1,"message":" "}' \
	'{"ino":1,"changed_sec":1,"changed_nsec":1,"message":"m","email":"a b<c>@d"}'; do
	expect 422 "$(http_status -H "Authorization: Bearer $TOKEN_dave" -H 'Content-Type: application/json' -d "$odd" \
		"$URL/api/v1/repos/models/team/model/publish")" "$odd"
done
echo secret | as alice tee "$w/code/secret" >/dev/null
chown 0:0 "$w/code/secret"
chmod 600 "$w/code/secret"
refused 'you may not read code/secret' alice "$w"
rm "$w/code/secret"
as alice mkdir "$w/.git"
echo x | as alice tee "$w/.git/config" >/dev/null
refused 'hasDotgit' alice "$w"
as alice rm -r "$w/.git"
as alice ln -s /etc/passwd "$w/.gitModules"
refused '.gitModules: a file that Git obeys may not be a symbolic link' alice "$w"
as alice rm "$w/.gitModules"
printf '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch x\n' | as alice tee "$w/code/.gitmodules" >/dev/null
refused 'code/.gitmodules, line 3: no address of a submodule' alice "$w"
as alice rm "$w/code/.gitmodules"
for i in $(seq 30); do printf '**/a/'; done | as alice tee "$w/code/.gitignore" >/dev/null
refused 'code/.gitignore, line 1: a pattern with too many stars' alice "$w"
as alice rm "$w/code/.gitignore"
as alice mkdir -p "$DIR/home/alice/local"
refused 'is not on a mount|may not read' alice "$DIR/home/alice/local"
in_git() { as alice git -C "$DIR/home/alice/git" "$@"; }
in_git pull -q 2>>"$DIR/commands.out"
in_git lfs lock "second.bin" >>"$DIR/commands.out" 2>&1
as dave loam clone -q "$tree" "$MNT/users/dave/e"
as dave rm "$MNT/users/dave/e/second.bin"
refused 'second.bin is locked by alice' dave "$MNT/users/dave/e"
in_git lfs unlock --force "second.bin" >>"$DIR/commands.out" 2>&1 || fail "unlock"
must_publish dave "$MNT/users/dave/e"
[ ! -e "$tree/second.bin" ] || fail "a deleted file stands there"

step "below a bind mount, the same"
mkdir "$DIR/bound"
mount --bind "$MNT/users/dave/e" "$DIR/bound"
echo bound | as dave tee "$DIR/bound/bound.txt" >/dev/null
must_publish dave "$DIR/bound"
umount "$DIR/bound"
[ "$(cat "$tree/bound.txt")" = bound ] || fail "published below a bind mount"
check_volume --deep
left=$(find "$DIR/v/git" -name 'tmp_*' -o -path '*.git/*.lock')
[ -z "$left" ] || fail "left behind: $left"
