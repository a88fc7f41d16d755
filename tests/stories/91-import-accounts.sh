#!/bin/bash
# Accounts that exist elsewhere come in one step: CSV, /etc/passwd with shadow and group, LDIF. What would happen and
# every conflict is shown first; nothing is done with a conflict; run again, it does what is missing.
. "$(dirname "$0")/lib.sh.inc"
story "accounts from elsewhere"
start_up --no-mount
loam user add anna --uid 30001 >/dev/null 2>>"$DIR/commands.out"
loam group add staff2 >/dev/null 2>>"$DIR/commands.out"
accounts() { loam user list; loam group list; }
uid_of() { loam user show "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["uid"])'; }
members_of() { loam group show "$1" --json | python3 -c 'import json, sys; print(" ".join(json.load(sys.stdin)["members"]))'; }

step "CSV: first what would happen"
printf '\xef\xbb\xbfName,uid,groups,email,disabled\r\nben,30002,"team, staff2",ben@example.com,\r\n"cleo",,team,"cleo ""C"" x",yes\r\n\r\nanna,30001,team,,\r\n' >"$DIR/people.csv"
accounts >"$DIR/before"
loam user import --dry-run "$DIR/people.csv" >"$DIR/plan"
accounts | cmp - "$DIR/before" || fail "a dry run changed something"
grep -qE '^add +user +ben +30002' "$DIR/plan" || fail "$(cat "$DIR/plan")"
grep -qE '^add +user +cleo +next +disabled' "$DIR/plan" || fail "$(cat "$DIR/plan")"
grep -qE '^keep +user +anna +30001' "$DIR/plan" || fail "$(cat "$DIR/plan")"
grep -qE '^add +group +team +next +\+3 members' "$DIR/plan" || fail "$(cat "$DIR/plan")"
loam user import "$DIR/people.csv" >"$DIR/plan" 2>"$DIR/done"
grep -q '3 added, 1 changed, 0 left out' "$DIR/done" || fail "$(cat "$DIR/done" "$DIR/plan")"
expect 30002 "$(uid_of ben)" "ben's number"
expect "ben cleo anna" "$(members_of team)" "team"
loam user show cleo | says disabled || fail "cleo is not disabled"
accounts >"$DIR/before"
loam user import "$DIR/people.csv" >"$DIR/plan" 2>"$DIR/done"
grep -q '0 added, 0 changed' "$DIR/done" || fail "the second time: $(cat "$DIR/done")"
accounts | cmp - "$DIR/before" || fail "the second time changed something"

step "conflicts: all of them, and nothing is done"
gone=$(loam user add gone 2>>"$DIR/commands.out")
loam user del gone
cat >"$DIR/bad.csv" <<-EOF
	name,uid,groups
	dora,30003,
	anna,30009,
	emil,30001,
	Frida,30010,
	-x,,
	gus,12,
	hal,$gone,
	ida,30020,
	ivo,30020,
	dora,30033,
	jon,99999999999,
	staff2,30040,
	kim,,anna ben
	api,30050,
EOF
accounts >"$DIR/before"
must_fail loam user import "$DIR/bad.csv"
for line in 'user +anna +30009 +line 3:  has uid 30001 here' "user +emil +30001 +line 4:  the number 30001 is user anna's" \
	'user +Frida .*line 5:  not a name' 'user +-x .*line 6:  not a name' 'user +gus .*12 is no number' \
	'user +hal .*belonged to somebody who was removed' "user +ivo .*line 9's \(ida\), too" 'user +dora .*line 2 has this name, too' \
	'user +jon .*its number is none' 'user +staff2 .*there is a group of this name' 'user +api .*not a name'; do
	grep -qE "^conflict  $line" "$DIR/refused.out" || fail "no '$line' in: $(cat "$DIR/refused.out")"
done
grep -q 'conflicts, nothing was done' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
accounts | cmp - "$DIR/before" || fail "an import with conflicts did something"
must_fail loam user import --dry-run --json "$DIR/bad.csv"
loam user import --skip-conflicts "$DIR/bad.csv" >"$DIR/plan" 2>"$DIR/done"
grep -q '3 added, 0 changed' "$DIR/done" || fail "$(cat "$DIR/done" "$DIR/plan")"
expect 30003 "$(uid_of dora)" "dora"
must_fail loam user show emil

step "/etc/passwd with shadow and group: numbers and passwords stay"
hash_of() # SETTING: of the password below, by crypt(3)
{
	printf '%s\n' 'a password of some length' | python3 -c '
import ctypes, sys
crypt = ctypes.CDLL("libcrypt.so.1").crypt
crypt.restype = ctypes.c_char_p
print(crypt(sys.stdin.readline().rstrip("\n").encode(), sys.argv[1].encode()).decode())' "$1"
}
ours=$(hash_of '$y$j9T$abcdefghijklmnopqrstu.$')
older=$(hash_of '$6$abcdefgh$')
dear=$(hash_of '$6$rounds=50000$abcdefgh$')
cat >"$DIR/passwd" <<-EOF
	root:x:0:0:root:/root:/bin/bash
	nobody:x:65534:65534::/:/usr/sbin/nologin
	lara:x:31001:31001:Lara:/home/lara:/bin/bash
	mila:x:31002:31500::/home/mila:/bin/bash
	nils:x:31003:31003::/home/nils:/bin/bash
	otto:x:31004:31004::/home/otto:/bin/bash
	pia:x:31005:31005::/home/pia:/bin/bash
	rita:x:31006:31006::/home/rita:/bin/bash
	sven:x:31007:31007::/home/sven:/bin/bash
	tove:x:31008:31008::/home/tove:/bin/bash
	+::::::
EOF
cat >"$DIR/shadow" <<-EOF
	root:\$y\$j9T\$secretroot\$x:1:0:99999:7:::
	lara:$ours:1:0:99999:7:::
	mila:\$1\$abcdefgh\$abcdefghijklmnopqrstuv:1:0:99999:7:::
	nils:\$y\$jFT\$abcdefghijklmnopqrstu.\$${ours##*\$}:1:0:99999:7:::
	otto:!:1:0:99999:7::1:
	pia:\$6\$salt\$abcdef:1:0:99999:7:::
	rita:$older:1:0:99999:7:::
	sven:$dear:1:0:99999:7:::
	tove:!$older:1:0:99999:7:::
EOF
chmod 600 "$DIR/shadow"
cat >"$DIR/group" <<-EOF
	root:x:0:
	lara:x:31001:
	shared:x:31500:lara,ghost
EOF
loam user import --format passwd --shadow "$DIR/shadow" --groups "$DIR/group" "$DIR/passwd" >"$DIR/plan" 2>"$DIR/done" || fail "$(cat "$DIR/plan" "$DIR/done")"
grep -qE '^add +user +lara +31001 +with its password' "$DIR/plan" || fail "$(cat "$DIR/plan")"
grep -qE '^add +user +rita +31006 +with its password' "$DIR/plan" || fail "$(cat "$DIR/plan")"
expect 4 "$(grep -c 'without a password: its hash is not taken over; keys and tokens work' "$DIR/plan")" "hashes that are not taken"
grep -q root "$DIR/plan" && fail "a system account comes along: $(cat "$DIR/plan")"
grep -qF -e "$ours" -e "$older" "$DIR/plan" "$DIR/done" && fail "a hash is printed"
expect "lara mila" "$(members_of shared)" "the shared group, primary members too"
loam user show otto | says disabled || fail "an expired account is not disabled"
login() { printf 'user = "%s:%s"\n' "$1" 'a password of some length' >"$DIR/login"; http_status -K "$DIR/login" "$URL/api/v1/user"; }
expect 200 "$(login lara)" "lara's password of the old host"
expect 200 "$(login rita)" "rita's password of the old host, by sha512crypt"
for name in nils sven tove pia nobody-here; do expect 401 "$(login $name)" "$name: a hash that is not taken, locked, or nobody"; done
sven=$(loam user token sven 2>>"$DIR/commands.out")
expect 200 "$(http_status -H "Authorization: Bearer $sven" "$URL/api/v1/user")" "who has no password has tokens"
# who has chosen a password since then keeps it
printf '%s\n' 'another one, of her own' | loam user password lara
loam user import --shadow "$DIR/shadow" --groups "$DIR/group" "$DIR/passwd" >"$DIR/plan" 2>"$DIR/done"
grep -q '0 added, 0 changed' "$DIR/done" || fail "$(cat "$DIR/done" "$DIR/plan")"

step "LDIF"
cat >"$DIR/people.ldif" <<-EOF
	version: 1

	# the directory
	dn: uid=quinn,ou=people,dc=example,dc=com
	objectClass: top
	objectClass: posixAccount
	uid: quinn
	uidNumber: 32001
	gidNumber: 32001
	cn:: w4k=
	description: a line
	  that goes on
	userPassword:: $(printf '{CRYPT}%s' "$ours" | base64 -w 40 | sed '2,$s/^/ /')

	dn: uid=rosa,ou=people,dc=example,dc=com
	objectclass: posixAccount
	uid:: cm9zYQ==
	uidnumber: 32
	 002
	jpegPhoto:< file:///etc/shadow

	dn: cn=lab,ou=groups,dc=example,dc=com
	objectClass: posixGroup
	cn: lab
	gidNumber: 32500
	memberUid: quinn
	memberUid: rosa
	memberUid: unknown
EOF
loam user import "$DIR/people.ldif" >"$DIR/plan" 2>"$DIR/done" || fail "$(cat "$DIR/plan" "$DIR/done")"
expect 32001 "$(uid_of quinn)" "quinn"
expect 32002 "$(uid_of rosa)" "rosa, of a folded line in base64"
expect "quinn rosa" "$(members_of lab)" "lab"
grep -q '1 members are no accounts' "$DIR/plan" || fail "$(cat "$DIR/plan")"
printf 'dn: x\nno colon here\n' >"$DIR/bad.ldif"
must_fail loam user import "$DIR/bad.ldif"
grep -q 'line 2' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
printf 'dn: x\nchangetype: delete\nobjectClass: posixAccount\nuid: quinn\n' >"$DIR/bad.ldif"
must_fail loam user import "$DIR/bad.ldif"

step "what is no table"
printf 'lara,5\n' >"$DIR/bad.csv"
must_fail loam user import "$DIR/bad.csv"
grep -q 'the first line names the columns' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
printf 'name\n"never closed\n' >"$DIR/bad.csv"
must_fail loam user import "$DIR/bad.csv"
must_fail loam user import --format excel "$DIR/people.csv"
must_fail loam user import "$DIR/nowhere.csv"
check_volume
