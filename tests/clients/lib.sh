# lib.sh: what the suites of other runtimes have in common.

# begin NAME NEED...: what every suite starts with: its needs, runsc, and a folder of its own in
# work, which goes at the end unless KEEP is set.
begin() {
    local name=$1
    shift
    . "$top/tests/lib/world.sh"
    find_runsc
    need_runsc
    runsc=$(realpath "$runsc")
    "$top/scripts/need" "$@" script=bsdutils || exit 2
    work=$(mktemp -d "${TMPDIR:-/tmp}/runsc-$name.XXXXXX")
    trap '[ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
    chmod 755 "$work"
}

# tap FILE NAME: the tests of a TAP log as lines "NAME TEST pass|fail|skip".
tap() {
    tr -d '\r' < "$1" | sed -n \
        -e "s/^ok [0-9]* \(- \)\?\(.*[^ ]\) *# \?skip.*/\2 skip/Ip" -e t \
        -e "s/^ok [0-9]* \(- \)\?\(.*\)/\2 pass/p" \
        -e "s/^not ok [0-9]* \(- \)\?\(.*\)/\2 fail/p" |
        sed "s/^/$2/"
}

# debian_source NAME VERSION: the folder of a source package, fetched and unpacked once.
debian_source() {
    local name=$1 dir=${SUITES_CACHE:-$HOME/.cache/runsc-suites}
    local lists=$dir/lists to=$dir/$1-$2 o
    [ -d "$to" ] && { echo "$to"; return; }
    mkdir -p "$lists/partial"
    sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > "$dir/src.sources" || return
    o="-o Dir::Etc::sourcelist=$dir/src.sources -o Dir::Etc::sourceparts=- -o Dir::State::lists=$lists"
    (
        cd "$dir" || exit
        apt-get -qq $o update && apt-get -qq $o source --download-only "$name" || exit
        mkdir -p "$to.new"
        tar -xf "$name"_*.orig.tar.?z -C "$to.new" --strip-components=1 && mv "$to.new" "$to"
    ) >&2 || return
    echo "$to"
}

# outcome SUITE OUT EXPECT UPDATE: counts the lines NAME pass|fail|skip of OUT and compares
# with EXPECT, which may only improve.
outcome() {
    local suite=$1 out=$2 expect=$3 update=$4 worse
    sort -o "$out" "$out"
    printf '%s: %s passed, %s failed, %s skipped, of %s\n' "$suite" \
        "$(grep -c ' pass$' "$out")" "$(grep -c ' fail$' "$out")" "$(grep -c ' skip$' "$out")" \
        "$(wc -l < "$out")"
    [ -n "$update" ] && { grep -v ' pass$' "$out" > "$expect"; return 0; }
    touch "$expect"
    worse=$(grep -v ' pass$' "$out" | grep -vxFf "$expect" || true)
    [ -z "$worse" ] || { echo "worse than expected:"; echo "$worse"; return 1; }
}
