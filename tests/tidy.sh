#!/bin/bash
# Checks what no compiler checks: READMEs, layers, sizes, names, help, format. One line per finding,
# "file:line: what"; exit status 1 when there is any. Folders that have no sources yet are no matter.
#
#   tests/tidy.sh [check ...]      checks: readme includes symbols sizes help pages units words format
#
# LOAM_BUILD names the build folder whose static libraries are read (default: build).
set -euo pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=${LOAM_BUILD:-build}
layers=(core fs/store fs/meta fs/data fs/mount fs auth lfs sync githook server)
# Equal ranks are siblings: neither may use the other.
declare -A rank=([core]=0 [fs/store]=1 [fs/meta]=1 [fs/data]=2 [fs/mount]=3 [fs]=4 [auth]=5 [lfs]=6
	[sync]=7 [githook]=8 [server]=9)
readme_lines_max=40
file_lines_max=800
function_lines_max=70
columns_max=100

# All files of the project that are not ignored, new ones included; arguments filter by pattern.
files()
{
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do
			[ ! -f "$file" ] || printf '%s\n' "$file"
		done
	else
		local pattern
		for pattern in "$@"; do
			find . -path ./build\* -prune -o -type f -name "$pattern" -printf '%P\n'
		done
	fi | sort -u
}

# Sources directly in a folder.
sources_of()
{
	find "$1" -maxdepth 1 -name '*.[ch]' 2>/dev/null | sort
}

check_readme()
{
	local folder source module lines
	for folder in "${layers[@]}"; do
		[ -n "$(sources_of "$folder")" ] || continue
		if [ ! -f "$folder/README.md" ]; then
			echo "$folder/README.md:1: missing"
			continue
		fi
		lines=$(wc -l <"$folder/README.md")
		[ "$lines" -le "$readme_lines_max" ] ||
			echo "$folder/README.md:$lines: over $readme_lines_max lines"
		while read -r module; do
			grep -qE "(^|[^A-Za-z0-9_])$module([^A-Za-z0-9_]|\$)" "$folder/README.md" ||
				echo "$folder/README.md:1: does not name module $module"
		done < <(sources_of "$folder" | sed 's|.*/||; s|\.[ch]$||' | sort -u)
	done
}

check_includes()
{
	local folder other source line
	for folder in "${layers[@]}"; do
		for source in $(sources_of "$folder"); do
			while IFS=: read -r line other; do
				if [ -z "${rank[$other]:-}" ]; then
					echo "$source:$line: includes from '$other', which is no layer"
				elif [ "$other" != "$folder" ] &&
					[ "${rank[$other]}" -ge "${rank[$folder]}" ]; then
					echo "$source:$line: $folder includes from $other"
				fi
			done < <(sed -nE 's|^#[ \t]*include[ \t]+"([^"]*)/[^"/]*".*|\1|;t show;b;:show;=;p' \
				"$source" | paste -d: - -)
			while IFS=: read -r line _; do
				echo "$source:$line: an include without its folder"
			done < <(grep -nE '^#[ 	]*include[ 	]+"[^"/]*"' "$source" || true)
		done
	done
}

library_of()
{
	echo "$build/libloam_${1##*/}.a"
}

# Lines "folder member-source symbol" of the symbols whose type matches.
symbols_of()
{
	local library
	library=$(library_of "$1")
	[ -f "$library" ] || return 0
	nm "$library" 2>/dev/null | awk -v folder="$1" -v types="$2" '
		/:$/ { member = $1; sub(/\.o:$/, "", member); next }
		NF >= 2 && $(NF - 1) ~ types { print folder, folder "/" member, $NF }'
}

where()
{
	local line
	line=$(grep -nwm1 -- "$2" "$1" 2>/dev/null | cut -d: -f1)
	echo "$1:${line:-1}"
}

check_symbols()
{
	local folder defined undefined source symbol other
	if [ ! -f "$(library_of core)" ]; then
		echo "tidy: no libraries in $build, symbols are not checked" >&2
		return 0
	fi
	defined=$(for folder in "${layers[@]}"; do symbols_of "$folder" '^[TDBRVWGSC]$'; done)
	undefined=$(for folder in "${layers[@]}"; do symbols_of "$folder" '^U$'; done)
	while read -r folder source symbol; do
		[ -n "$folder" ] && [[ $symbol != loam_* ]] || continue
		echo "$(where "$source" "$symbol"): public symbol $symbol does not begin with loam_"
	done <<<"$defined"
	local ranks=""
	for folder in "${layers[@]}"; do
		ranks+="$folder ${rank[$folder]} "
	done
	while read -r folder source symbol other; do
		echo "$(where "$source" "$symbol"): $folder uses $symbol of $other"
	done < <(awk -v ranks="$ranks" '
		BEGIN { n = split(ranks, part, " "); for (i = 1; i < n; i += 2) rank[part[i]] = part[i + 1] }
		NF != 3 { next }
		FNR == NR { if (!($3 in home)) home[$3] = $1; next }
		$3 in home && home[$3] != $1 && rank[home[$3]] >= rank[$1] { print $1, $2, $3, home[$3] }
		' <(echo "$defined") <(echo "$undefined"))
}

check_sizes()
{
	local list
	mapfile -t list < <(files '*.c' '*.h')
	[ ${#list[@]} -gt 0 ] || return 0
	awk -v max="$file_lines_max" '
		FNR == max + 1 { print FILENAME ":" FNR ": the file has over " max " lines" }' "${list[@]}"
	awk -v max="$function_lines_max" '
		FNR == 1 { inside = 0 }
		/^[A-Za-z_].*\(/ { head = $0; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head) }
		/^\{/ { inside = 1; begin = FNR }
		/^\}/ && inside {
			inside = 0
			if (FNR - begin - 1 > max)
				print FILENAME ":" begin ": function " head " has " FNR - begin - 1 \
					" lines, at most " max
		}' "${list[@]}"
	perl -CSD -ne '
		chomp;
		1 while s/\t/" " x (8 - length($`) % 8)/e;
		print "$ARGV:$.: ", length, " columns, at most '"$columns_max"'\n" if length > '"$columns_max"';
		close ARGV if eof;' "${list[@]}"
}

# Every command has a usage (may be empty) and a summary (may not).
check_help()
{
	local list
	mapfile -t list < <(for folder in "${layers[@]}"; do sources_of "$folder"; done | grep '\.c$')
	[ ${#list[@]} -gt 0 ] || return 0
	awk '
		function count(text, pattern) { return gsub(pattern, "", text) }
		/^(static )?const struct loam_cmd [A-Za-z_0-9]+(\[[^]]*\])? = \{/ {
			body = ""; begin = FNR; inside = 1
		}
		inside { body = body "\n" $0 }
		inside && /\};[ \t]*$/ {
			inside = 0
			names = count(body, "\\.name = \"")
			if (names == 0 || count(body, "\\.usage = \"") != names)
				print FILENAME ":" begin ": a command without usage"
			if (count(body, "\\.summary = \"[^\"]") != names)
				print FILENAME ":" begin ": a command without summary"
		}' "${list[@]}"
}

# What the pages have people type exists: each `loam VERB --option` of their blocks, and each key of `git config -f`.
check_pages()
{
	[ -x "$build/loam" ] || return 0
	LOAM="$build/loam" python3 - README.md docs/users.md docs/administrators.md <<-'PY'
		import os, re, subprocess, sys
		helps = {}
		keys = set(re.findall(r"^\| `([a-zA-Z.]+)` \|", open("docs/config.md").read(), re.M))
		def help_of(words):
		    words = tuple(words)
		    if words not in helps:
		        ran = subprocess.run([os.environ["LOAM"], *words, "--help"], capture_output=True, text=True)
		        told = ran.stdout + ran.stderr
		        helps[words] = told if told.startswith("usage: loam " + " ".join(words) + " ") else None
		    return helps[words]
		def check(where, line):
		    line = re.sub(r"(^|\s)#.*", "", line)
		    for key in re.findall(r"git config -f \S*loam\.conf (?:--unset )?(\S+)", line):
		        if key not in keys:
		            print(f"{where}: no key {key} in docs/config.md")
		    for command in re.split(r"&&|\|\||[;|]", line):
		        found = re.match(r"\s*(?:ssh [^ ]*(?: [^ ]+)*? )?loam ([a-z].*)", command)
		        if not found:
		            continue
		        words = found.group(1).split()
		        verb = next((words[:n] for n in (3, 2, 1) if len(words) >= n and help_of(words[:n])), None)
		        if not verb:
		            print(f"{where}: no command loam {' '.join(words[:2])}")
		            continue
		        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", " " + " ".join(words[len(verb):])):
		            if not re.search(rf"(^|[\s,]){option}\b(?!-)", help_of(verb), re.M):
		                print(f"{where}: loam {' '.join(verb)} has no option {option}")
		for page in sys.argv[1:]:
		    inside = False
		    for number, line in enumerate(open(page), 1):
		        if line.startswith("```"):
		            inside = not inside
		        elif inside:
		            check(f"{page}:{number}", line)
	PY
}

# With the program's place filled in, systemd itself finds nothing to say about the units.
check_units()
{
	local copy unit
	command -v systemd-analyze >/dev/null || {
		echo "tidy: no systemd-analyze, the units are not checked" >&2
		return 0
	}
	copy=$(mktemp -d /tmp/loam-units-XXXXXX)
	for unit in deploy/systemd/*.service; do
		sed 's|/usr/local/bin/loam|/bin/true|' "$unit" >"$copy/${unit##*/}"
	done
	systemd-analyze verify --man=no --recursive-errors=no "$copy"/*.service 2>&1 |
		sed -nE "s|^($copy/)?(loam-[a-z]+\.service:[^ ]*) *|deploy/systemd/\2 |p" || true
	rm -r "$copy"
}

check_words()
{
	local list marks='\b(TO''DO|FIX''ME|X''XX)\b'
	mapfile -t list < <(files '*.c' '*.h' '*.sh' '*.txt' '*.md' 'script/*' '.ci/*' |
		grep -v '^tests/fixtures/')
	[ ${#list[@]} -gt 0 ] || return 0
	grep -nHIE "$marks" "${list[@]}" | sed -E 's/^([^:]*:[0-9]+):.*/\1: an open end is no comment/' || true
	# Paths of one machine, and temporary names that are not ours.
	grep -nHIP '(?<![\w.$}/-])/(work|root|workspace)/(?!\.)' "${list[@]}" |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: a path of one machine/' || true
	grep -nHIP '(?<![\w.$}/-])/tmp/(?!loam)[A-Za-z]' "${list[@]}" |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: a temporary name that does not begin with loam/' || true
	# A test whose outcome depends on who is faster (see says in tests/stories/lib.sh.inc).
	mapfile -t list < <(files 'tests/*.sh' 'tests/*.sh.inc' | grep -v '^tests/tidy.sh$')
	[ ${#list[@]} -gt 0 ] || return 0
	grep -nE '\| *grep -[a-zA-Z]*q' "${list[@]}" | grep -vE "sh -c ['\"]|pipefail" |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: "| grep -q" under pipefail: "| says"/' || true
}

check_format()
{
	local list
	if ! clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
		echo "tidy: no clang-format 14, the format is not checked" >&2
		return 0
	fi
	mapfile -t list < <(files '*.c' '*.h' | grep -v '^tests/fixtures/')
	[ ${#list[@]} -gt 0 ] || return 0
	printf '%s\0' "${list[@]}" | xargs -0 -n 16 -P 2 clang-format --dry-run -Werror 2>&1 |
		sed -nE 's/^([^ :]+:[0-9]+):[0-9]+: error: .*/\1: not as clang-format has it/p' |
		sort -t: -k1,1 -u || true
}

checks=("$@")
[ $# -gt 0 ] || checks=(readme includes symbols sizes help pages units words format)
findings=$(for check in "${checks[@]}"; do "check_$check"; done)
[ -n "$findings" ] || exit 0
printf '%s\n' "$findings"
printf 'tidy: %s findings\n' "$(printf '%s\n' "$findings" | wc -l)" >&2
exit 1
