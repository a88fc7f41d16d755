#!/bin/bash
# Rights of groups and namespaces as they are typed: a group owns a namespace; grants on it are entries on every gate
# in it, old and new, which getfacl shows; each grant is taken back alone; repo show says who may do what and
# why; the mount and HTTP agree about everybody at each step.
. "$(dirname "$0")/lib.sh.inc"
story "namespaces, and why somebody may"
start_up
for name in alice bob carol dave; do add_user $name; done
TEAM=$(loam group add team 2>/dev/null)
LAB=$(loam group add lab 2>/dev/null)
declare -A GROUPS_OF=([alice]=$UID_alice [bob]="$UID_bob,$TEAM" [carol]="$UID_carol,$TEAM,$LAB" [dave]=$UID_dave)
quiet() { "$@" >>"$DIR/commands.out" 2>&1 || fail "$*: $(tail -n 3 "$DIR/commands.out")"; }
quiet loam group member add team bob
quiet loam group member add team carol
quiet loam group member add lab carol
member() # NAME COMMAND …: with the groups of a fresh login
{
	local name=$1 uid=UID_$1
	shift
	HOME="$DIR/home/$name" setpriv --reuid "${!uid}" --regid "${!uid}" --groups "${GROUPS_OF[$name]}" -- "$@"
}
# right_of NAME REPO: read, write or no, as Git over HTTP answers; and the mount must agree about reading
right_of()
{
	local token=TOKEN_$1 got=no reads=no tree=$2
	case $2 in */*/*) ;; *) tree=models/$2 ;; esac
	[ "$(http_status -u "$1:${!token}" "$URL/$2.git/info/refs?service=git-upload-pack")" != 200 ] || got=read
	[ "$(http_status -u "$1:${!token}" "$URL/$2.git/info/refs?service=git-receive-pack")" != 200 ] || got=write
	member "$1" ls "$MNT/$tree" >/dev/null 2>&1 && reads=yes
	[ "$got:$reads" = no:no ] || { [ "$got" != no ] && [ $reads = yes ]; } ||
		fail "$1 at $2: HTTP says $got, the mount reads: $reads"
	echo $got
}
# rights REPO ALICE BOB CAROL DAVE: what each may, once the last change has reached the mount
rights()
{
	local repo=$1 name i wanted got
	shift
	wanted=$*
	for i in $(seq 50); do
		got=
		for name in alice bob carol dave; do got+="$(right_of $name "$repo" 2>"$DIR/disagree") " || true; done
		[ "${got% }" = "$wanted" ] && return 0
		sleep 0.1
	done
	fail "$repo: $got, wanted $wanted ($(cat "$DIR/disagree"))"
}
entry() { getfacl -pnE "$MNT/models/$1" 2>/dev/null | says -x "$2" || fail "$1 has no '$2': $(getfacl -pnE "$MNT/models/$1")"; }
no_entry() { ! getfacl -pnE "$MNT/models/$1" 2>/dev/null | says "$2" || fail "$1 still has '$2'"; }
eventually_no_entry() # the mount's attributes live a second
{
	local i
	for i in $(seq 50); do
		getfacl -pnE "$MNT/models/$1" 2>/dev/null | says "$2" || return 0
		sleep 0.1
	done
	no_entry "$1" "$2"
}

step "a group owns a namespace; its members may everything in it"
quiet loam repo create team/base
quiet loam repo create qwen/old --owner alice
loam namespace show team --json | python3 -c 'import json, sys
got = json.load(sys.stdin)
assert (got["namespace"], got["owner"]) == ("models/team/", "team"), got'
entry team/base "group:$TEAM:rwx"
entry team/base "mask::r-x"
rights team/base no write write no
rights qwen/old write no no no

step "a grant on a namespace is an entry on every gate in it, old and new"
quiet loam grant dave read qwen/
quiet loam grant lab write models/qwen/
quiet loam repo create qwen/new
for repo in qwen/old qwen/new; do
	entry $repo "user:$UID_dave:r-x"
	entry $repo "group:$LAB:rwx"
	rights $repo write no write read
done
rights team/base no write write no
must_fail loam grant dave read nowhere/
must_fail loam grant nobodyknows read qwen/
must_fail loam revoke dave qwen/old
grep -q 'comes from the namespace: loam revoke WHO models/qwen/' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"

step "a direct grant beside it: the union holds, each is taken back alone"
quiet loam grant dave write qwen/old
rights qwen/old write no write write
quiet loam revoke dave qwen/
rights qwen/old write no write write
rights qwen/new write no write no
eventually_no_entry qwen/new "user:$UID_dave:"
quiet loam revoke dave qwen/old
rights qwen/old write no write no
quiet loam revoke lab qwen/
rights qwen/old write no no no
eventually_no_entry qwen/old "group:$LAB:"
must_fail loam revoke lab qwen/

step "setfacl by root is a grant, and a denial that stands above all else"
quiet loam grant team read qwen/
setfacl -m "u:$UID_bob:rwx" "$MNT/models/qwen/old"
rights qwen/old write write read no
setfacl -m "u:$UID_bob:---" "$MNT/models/qwen/old"
rights qwen/old write no read no
quiet loam repo visibility qwen/old public
rights qwen/old write no read read
quiet loam repo visibility qwen/old private
quiet loam revoke bob qwen/old
rights qwen/old write read read no

step "repo show says who may do what, and why"
quiet loam grant bob write qwen/old
quiet loam grant carol admin qwen/old
quiet loam repo visibility qwen/old internal
loam repo show qwen/old --json >"$DIR/show.json"
python3 - "$DIR/show.json" <<'PY'
import json, sys
rows = {r["who"]: r for r in json.load(open(sys.argv[1]))["grants"]}
want = {
    "alice": ("user", "admin", "owns the namespace models/qwen/"),
    "bob": ("user", "write", "granted here (write)"),
    "carol": ("user", "admin", "granted here (admin)"),
    "team": ("group", "read", "granted on models/qwen/ (read)"),
    "all accounts": ("accounts", "read", "the repository is internal"),
}
got = {who: (r["kind"], r["right"], r["why"]) for who, r in rows.items()}
assert got == want, got
PY
loam repo show qwen/old | says -E 'bob +user +write +granted here' || fail "repo show: $(loam repo show qwen/old)"

step "an owner is replaced, and what was his as owner goes with it"
quiet loam repo visibility qwen/old private
quiet loam namespace owner qwen/ lab
rights qwen/old no write write no
rights qwen/new no read write no
[ "$(loam namespace show qwen --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["owner"])')" = lab ] || fail "owner"
quiet loam group member add lab dave
GROUPS_OF[dave]="$UID_dave,$LAB"
rights qwen/new no read write write

step "who leaves a group leaves every door, with a process that began before, too"
mkfifo "$DIR/ask"
chmod 666 "$DIR/ask"
member dave sh -c "cd $MNT/models/qwen/new && while read -r word; do ls . >/dev/null 2>&1 && echo yes || echo no; done" \
	<"$DIR/ask" >"$DIR/inside.out" 2>&1 &
inside=$!
exec 6>"$DIR/ask"
inside_says() # yes or no, in the end
{
	local i
	for i in $(seq 100); do
		echo ask >&6
		sleep 0.1
		[ "$(tail -n 1 "$DIR/inside.out")" = "$1" ] && return 0
	done
	fail "a process inside says $(tail -n 1 "$DIR/inside.out"), wanted $1"
}
inside_says yes
quiet loam group member del lab dave
inside_says no
must_fail setpriv --reuid "$UID_dave" --regid "$LAB" --clear-groups -- ls "$MNT/models/qwen/new"
must_fail member dave loam clone "$MNT/models/qwen/new" "$MNT/users/dave/copy"
rights qwen/new no read write no
quiet loam group member add lab dave
inside_says yes
exec 6>&-
wait $inside || true

step "an owner does not go before what is his has another"
quiet loam namespace create code/empty --owner dave
quiet loam repo create datasets/dave/set --owner dave
loam user show dave >"$DIR/before"
must_fail loam user del dave
grep -q "'dave' owns datasets/dave/ (1 repository): give them to somebody first (loam namespace owner NS WHO)" "$DIR/refused.out" ||
	fail "$(cat "$DIR/refused.out")"
[ "$(wc -l <"$DIR/refused.out")" = 1 ] || fail "more than one line: $(cat "$DIR/refused.out")"
loam user show dave | cmp - "$DIR/before" || fail "a refused removal changed the account"
[ -d "$MNT/code/empty" ] || fail "a refused removal took a namespace"
expect 200 "$(http_status -u "dave:$TOKEN_dave" "$URL/datasets/dave/set.git/info/refs?service=git-upload-pack")" "dave's token"
must_fail loam group del lab
grep -q "'lab' owns models/qwen/ (2 repositories)" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
quiet loam group member add lab dave --manager
loam user disable dave 2>"$DIR/said"
grep -q "dave owns datasets/dave/ (1 repository): others keep the rights" "$DIR/said" || fail "disable says: $(cat "$DIR/said")"
grep -q "nobody but dave managed lab" "$DIR/said" || fail "disable says: $(cat "$DIR/said")"
quiet loam namespace owner datasets/dave/ bob
loam user del dave 2>"$DIR/said"
grep -q "nobody but dave managed lab" "$DIR/said" || fail "del says: $(cat "$DIR/said")"
must_fail loam user show dave
must_fail ls "$MNT/code/empty"
[ -d "$MNT/datasets/dave/set" ] || fail "the repository is gone"
quiet loam namespace owner qwen/ bob
quiet loam group del lab
check_volume
