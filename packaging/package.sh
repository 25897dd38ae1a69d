#!/usr/bin/env bash
# Builds build/package/holdfast_VERSION_ARCH.deb from a release build, and prints its path.
# PACKAGE names another directory to leave it in; RELEASE another one to build in than build/release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packaging/deps.sh build package

area=${PACKAGE:-$PWD/build/package}
build=${RELEASE:-$PWD/build/release}
root=$area/root
rm -rf "$area"
mkdir -p "$area/debian" "$root/DEBIAN"
if [ -d .git ] && command -v git >/dev/null; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
    export SOURCE_DATE_EPOCH
fi

{
    cmake --preset release -B "$build" -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_SYSCONFDIR=/etc
    cmake --build "$build" -j "${JOBS:-$(nproc)}"
    DESTDIR=$root cmake --install "$build" --strip
} >"$area/build.log" 2>&1 || { cat "$area/build.log" >&2; exit 1; }
for program in holdfast holdfastd; do
    [ -x "$root/usr/bin/$program" ] || { echo "package: $program was not built" >&2; exit 1; }
done

version=$(sed -n 's/^project(holdfast VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
arch=$(dpkg --print-architecture)
find "$root/usr/share/man" -type f ! -name '*.gz' -exec gzip -9n {} + 2>/dev/null || true
doc=$root/usr/share/doc/holdfast
mkdir -p "$doc"
for file in LICENSE COPYING; do
    [ ! -f "$file" ] || cp "$file" "$doc/copyright"
done
find "$root" -mindepth 1 -type d -empty ! -name DEBIAN -delete

printf 'Source: holdfast\n\nPackage: holdfast\nArchitecture: any\n' >"$area/debian/control"
depends=$(cd "$area" && dpkg-shlibdeps -O root/usr/bin/holdfast root/usr/bin/holdfastd 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "package: dpkg-shlibdeps found no dependencies" >&2; exit 1; }

cat >"$root/DEBIAN/control" <<END
Package: holdfast
Version: $version
Architecture: $arch
Maintainer: Holdfast maintainers <maintainers@holdfast.invalid>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends, adduser
Section: admin
Priority: optional
Description: key-management server whose every trust boundary is a process boundary
 Holdfast keeps keys, and encrypts, decrypts, signs and verifies with them for
 applications that never see them. Keys are wrapped at rest, held in secret
 memory in use, and every operation goes into a tamper-evident log. Its
 algorithms withstand quantum computers by default.
 .
 This package holds the server, holdfastd, and the command, holdfast.
END
[ ! -f "$root/etc/holdfast/holdfast.hcl" ] || echo /etc/holdfast/holdfast.hcl >"$root/DEBIAN/conffiles"
install -m 755 packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm "$root/DEBIAN/"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f ! -path './etc/*' -printf '%P\0' | LC_ALL=C sort -z |
    xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +

deb=$area/holdfast_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb" | sed "s|^$PWD/||"
