#!/usr/bin/env bash
# Makes what a release consists of beside the image, in one folder:
#   eng/release.sh [OUT]      default: artifacts/
# - marmot-server-VERSION-RID.tar.gz for each RID in RIDS (default: linux-x64 linux-arm64 linux-musl-x64 osx-arm64 win-x64): the published server with its natives, LICENSE and THIRD-PARTY-NOTICES.txt
# - marmot-server-VERSION.cdx.json: a CycloneDX bill of materials of every package, and of LMDB, which the distribution brings
# - SHA256SUMS over all of them
# Packages are restored in the versions of the lock files; it refuses to run where they do not match.
set -euo pipefail
cd "$(dirname "$0")/.."
. eng/setup.sh
need_all
export MARMOT_LOCKED=true
out=${1:-artifacts}
version=$(sed -nE 's/.*<Version>(.*)<\/Version>.*/\1/p' Directory.Build.props)
mkdir -p "$out"
out=$(cd "$out" && pwd)

for rid in ${RIDS:-linux-x64 linux-arm64 linux-musl-x64 osx-arm64 win-x64}; do
  say "publishing for $rid ..."
  folder=$(mktemp -d)
  dotnet publish src/AllInOne -c Release -r "$rid" --self-contained false -o "$folder/marmot-server-$version" --nologo -v q -clp:ErrorsOnly \
    -p:UseAppHost=false -p:GenerateDocumentationFile=false -p:DebugType=none -p:RunAnalyzers=false || die "publishing for $rid failed"
  # Both natives must have come along: else the server would take whatever the machine has.
  [ "$(find "$folder" -name '*sodium*.so' -o -name '*sodium*.dylib' -o -name '*sodium*.dll' | wc -l)" -ge 1 ] || die "$rid: no libsodium in the output"
  [ "$(find "$folder" -name '*secp256k1*.so' -o -name '*secp256k1*.dylib' -o -name 'secp256k1.dll' | wc -l)" -ge 1 ] || die "$rid: no libsecp256k1 in the output"
  cp LICENSE THIRD-PARTY-NOTICES.txt "$folder/marmot-server-$version/"
  # The same bytes for the same commit: order, owner and times are fixed.
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" -C "$folder" -czf "$out/marmot-server-$version-$rid.tar.gz" "marmot-server-$version"
  rm -rf "$folder"
done

say "writing the bill of materials ..."
dotnet tool restore >/dev/null || die "the CycloneDX tool could not be restored"
bom="$out/marmot-server-$version.cdx.json"
dotnet CycloneDX src/AllInOne/AllInOne.csproj --output "$out" --filename "$(basename "$bom")" --output-format Json --set-name marmot-server --set-version "$version" --exclude-dev --disable-package-restore >/dev/null || die "the bill of materials could not be made"
# LMDB is no package of NuGet.
lmdb='{ "type": "library", "bom-ref": "pkg:deb/debian/liblmdb0", "name": "liblmdb0", "version": "0.9", "description": "LMDB, from the distribution of the image", "licenses": [ { "license": { "id": "OLDAP-2.8" } } ], "purl": "pkg:deb/debian/liblmdb0" },'
sed -i "s|^  \"components\": \[|&\n    $lmdb|" "$bom" # the list of the top level, which alone is indented by two
(cd "$out" && sha256sum marmot-server-"$version"* >SHA256SUMS)
say "done: $out"
