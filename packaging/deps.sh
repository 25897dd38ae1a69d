#!/usr/bin/env bash
# Installs what building (and testing) Holdfast needs. It says what and why before it touches anything,
# and returns at once where all is there already.
#
#   packaging/deps.sh [build] [run] [test] [package] [vectors]
#
#   build    compiler, build tools and libraries (the default)
#   run      what the tour searches core dumps with
#   test     what `make test` and `make bench` need beyond that
#   package  what `make package` needs beyond build
#   vectors  published test vectors, unpacked under build/deps/vectors (never installed)
#
# Debian packages are installed with apt (as root, or by sudo). Where the system's OpenSSL is older than
# 3.5 (Debian 12), OpenSSL and llhttp are taken from the packages of Debian 13: fetched by apt with a
# sources file, lists and cache of its own, verified by the Debian archive keyring, and unpacked under
# build/deps/root. Nothing of the system changes by that.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps_dir=${HF_DEPS_DIR:-$source_dir/build/deps}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

build_packages=(gcc libc6-dev make cmake ninja-build pkg-config libnghttp2-dev libsqlite3-dev libseccomp-dev
    libzstd-dev zlib1g-dev ca-certificates curl)
test_packages=(clang clang-tidy clang-format libcmocka-dev python3 python3-hvac python3-jsonschema python3-yaml
    python3-cryptography wrk nginx nghttp2-client valgrind gdb sqlite3 scdoc dpkg-dev fakeroot iproute2 procps
    strace openssl git util-linux adduser)
run_packages=(gdb)
package_packages=(dpkg-dev scdoc)

say() { printf '%s\n' "$*"; }
die() { printf 'deps: %s\n' "$*" >&2; exit 1; }

want_build=0 want_run=0 want_test=0 want_package=0 want_vectors=0
[ $# -gt 0 ] || set -- build
for word in "$@"; do
    case $word in
    build) want_build=1 ;;
    run) want_build=1 want_run=1 ;;
    test) want_build=1 want_test=1 ;;
    package) want_build=1 want_package=1 ;;
    vectors) want_vectors=1 ;;
    *) die "unknown word '$word' (build, run, test, package, vectors)" ;;
    esac
done

ID=unknown ID_LIKE= VERSION_ID= VERSION_CODENAME=
# shellcheck disable=SC1091
[ ! -r /etc/os-release ] || . /etc/os-release
mkdir -p "$deps_dir"

# 1 where the system's packages carry OpenSSL 3.5, else 0: Debian 13 is the first release that does.
system_openssl=1
if [ "$ID" = debian ] && [ -n "$VERSION_ID" ] && [ "$VERSION_ID" -lt 13 ]; then
    system_openssl=0
fi
if [ "$system_openssl" = 1 ]; then
    build_packages+=(libssl-dev libllhttp-dev)
    test_packages+=(libclang-rt-dev)
else
    test_packages+=(libclang-rt-14-dev)
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        die "installing packages needs root: run as root, install sudo, or install these yourself: ${missing[*]}"
    fi
}

# Prints those of its arguments that are not installed.
not_installed() {
    local have
    # shellcheck disable=SC2016
    have=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true) "
    local name
    for name in "$@"; do
        case $have in
        *" installed:$name "*) ;;
        *) printf '%s\n' "$name" ;;
        esac
    done
}

# While packages go in, no service may start: nginx is measured against, not run. An administrator's own
# policy-rc.d stays as it is.
policy=/usr/sbin/policy-rc.d
policy_made=0
drop_policy() {
    [ "$policy_made" = 0 ] || as_root rm -f "$policy"
    policy_made=0
}
trap drop_policy EXIT

install_packages() {
    local nginx_is_new=0
    case " ${missing[*]} " in *" nginx "*) nginx_is_new=1 ;; esac
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2016
        as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
        policy_made=1
    fi
    as_root apt-get -q -o DPkg::Lock::Timeout=600 update ||
        say "deps: apt-get update reported errors; trying with the lists at hand"
    as_root apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
        install "${missing[@]}" || die "these packages could not be installed: ${missing[*]}"
    drop_policy
    if [ "$nginx_is_new" = 1 ] && command -v systemctl >/dev/null; then
        as_root systemctl disable nginx.service >/dev/null 2>&1 || true
    fi
}

ensure_packages() {
    local why=$1
    shift
    mapfile -t missing < <(not_installed "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "deps: installing with apt, $why:"
    say "      ${missing[*]}"
    install_packages
    mapfile -t missing < <(not_installed "$@")
    [ ${#missing[@]} -eq 0 ] || die "apt finished, yet these are not installed: ${missing[*]}"
}

# The mirror that this machine's apt uses for the Debian archive.
mirror() {
    local found
    # shellcheck disable=SC2016
    found=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 'Created-By: Packages' 2>/dev/null |
        awk -v release="${VERSION_CODENAME:-none}" '
            $1 == release && $2 ~ /\/debian\/?$/ { print $2; exit }
            $1 == release && $2 ~ /debian/ && $2 !~ /security|backports/ && !other { other = $2 }
            END { if (other) print other }' | head -n 1)
    printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

# fetch_unpacked SUITE INTO PACKAGE...: verified .deb files of another suite, unpacked, not installed.
fetch_unpacked() {
    local suite=$1 into=$2 area=$deps_dir/apt-$1
    shift 2
    rm -rf "$area" "$into.new"
    mkdir -p "$area/lists/partial" "$area/cache/archives/partial" "$area/debs" "$into.new"
    : >"$area/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$(mirror)" "$suite" >"$area/sources.list"
    local options=(-q -o "Dir::Etc::SourceList=$area/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o "Dir::State::Lists=$area/lists" -o "Dir::State::status=$area/status" -o "Dir::Cache=$area/cache"
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3
        -o APT::Update::Post-Invoke::= -o APT::Update::Error-Mode=any)
    # What comes from sid are test vectors, signed like all else; a mirror that lags by weeks serves them as well.
    [ "$suite" != sid ] || options+=(-o Acquire::Check-Valid-Until=false)
    apt-get "${options[@]}" update >"$area/log" 2>&1 || { tail -n 5 "$area/log" >&2; return 1; }
    (cd "$area/debs" && apt-get "${options[@]}" download "$@") >>"$area/log" 2>&1 ||
        { tail -n 5 "$area/log" >&2; return 1; }
    local deb
    for deb in "$area"/debs/*.deb; do
        dpkg -x "$deb" "$into.new" || return 1
    done
    (cd "$area/debs" && for deb in *.deb; do printf '%s\n' "$deb"; done) >"$into.new/PACKAGES"
    rm -rf "$into"
    mv "$into.new" "$into"
    rm -rf "$area"
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "deps: no apt here, so nothing is installed. Holdfast needs, by Debian's names:"
    say "      ${build_packages[*]}"
    [ "$want_test" = 0 ] || say "      and for the tests: ${test_packages[*]}"
    exit 0
fi

# Several builds may share this directory.
exec 9>"$deps_dir/.lock"
flock 9

if [ "$want_build" = 1 ]; then
    wanted=("${build_packages[@]}")
    why="to build Holdfast"
    if [ "$want_run" = 1 ]; then
        wanted+=("${run_packages[@]}")
        why="to build Holdfast and show it (gdb takes the core dumps that the tour searches)"
    fi
    if [ "$want_test" = 1 ]; then
        wanted+=("${test_packages[@]}")
        why="to build and test Holdfast"
    fi
    [ "$want_package" = 0 ] || wanted+=("${package_packages[@]}")
    ensure_packages "$why" "${wanted[@]}"
    if [ "$system_openssl" = 0 ] && [ ! -e "$deps_dir/root/PACKAGES" ]; then
        [ -r "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
        say "deps: this system's OpenSSL is older than 3.5: fetching Debian 13's libssl-dev and libllhttp-dev"
        say "      into $deps_dir/root (unpacked there, not installed)"
        fetch_unpacked trixie "$deps_dir/root" libssl-dev libllhttp-dev ||
            die "Debian 13's libssl-dev and libllhttp-dev could not be fetched from $(mirror)"
    fi
fi

# The tests speak to the server with OpenSSL 3.5's own client too. Debian 13's runs here on its own C library.
if [ "$want_test" = 1 ] && [ "$system_openssl" = 0 ] && [ ! -x "$deps_dir/openssl/openssl" ]; then
    say "deps: fetching Debian 13's openssl into $deps_dir/openssl for the tests (unpacked there, not installed)"
    fetch_unpacked trixie "$deps_dir/openssl" openssl openssl-provider-legacy libssl3t64 libc6 zlib1g libzstd1 ||
        die "Debian 13's openssl could not be fetched from $(mirror)"
    cat >"$deps_dir/openssl/openssl" <<'END'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
libraries=$(echo "$root"/usr/lib/*-linux-gnu*)
export OPENSSL_MODULES="$libraries/ossl-modules" OPENSSL_CONF="$root/etc/ssl/openssl.cnf"
exec "$(echo "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.*)" --library-path "$libraries" "$root/usr/bin/openssl" "$@"
END
    chmod 755 "$deps_dir/openssl/openssl"
fi

# The package wycheproof is programs alone: the vectors are in golang-github-c2sp-wycheproof-dev.
vector_packages=(golang-github-c2sp-wycheproof-dev python3-cryptography-vectors golang-github-c2sp-cctv-dev)
have_vectors() {
    local package
    for package in "${vector_packages[@]}"; do
        grep -q "^${package}_" "$deps_dir/vectors/PACKAGES" 2>/dev/null || return 1
    done
}
if [ "$want_vectors" = 1 ] && ! have_vectors &&
    [ -z "$(find "$deps_dir/vectors/UNAVAILABLE" -mtime -1 2>/dev/null)" ]; then
    say "deps: fetching published test vectors from Debian sid into $deps_dir/vectors (unpacked there, not installed):"
    say "      ${vector_packages[*]}"
    if ! fetch_unpacked sid "$deps_dir/vectors" "${vector_packages[@]}"; then
        rm -rf "$deps_dir/vectors" "$deps_dir/vectors.new"
        mkdir -p "$deps_dir/vectors"
        {
            say "The packages could not be fetched on $(date -u +%F):"
            grep '^E:' "$deps_dir/apt-sid/log" || true
        } >"$deps_dir/vectors/UNAVAILABLE"
        rm -rf "$deps_dir/apt-sid"
        say "deps: the vectors could not be had; the tests that need them will count as skipped"
        say "      (tried again after a day, or once $deps_dir/vectors/UNAVAILABLE is removed)"
    fi
fi
