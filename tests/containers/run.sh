#!/usr/bin/env bash
# Holds image, compose file, proxies and chart to their rules, for real; ends with 'N passed, N failed'.
#   tests/containers/run.sh            everything
#   tests/containers/run.sh chart ...  only the named files, e.g. chart for chart.test.mjs
# Exit codes: 0 all passed, 1 some failed, 77 this machine cannot run it (it says why).
# MARMOT_TRAEFIK_IMAGE names an image of Traefik to try its snippet with; where base images are pulled it is pulled too.
# MARMOT_TOOLS names a folder with helpers that install Docker and Helm and stand in for base images where no registry is reached;
# default ../shared/tools when it is there. Without it, Docker, helm and node must be on the machine and base images are pulled.
set -uo pipefail
cd "$(dirname "$0")/../.."
. eng/setup.sh
started=$SECONDS
tools=${MARMOT_TOOLS:-../shared/tools}
cannot() { say "container tests: NOT RUN: $*"; exit 77; }

command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || cannot "node and npm are missing"
export PATH="$PWD/.tools/bin:$PATH"
if [ -d "$tools" ]; then
  export MARMOT_TOOLS; MARMOT_TOOLS=$(cd "$tools" && pwd)
  "$MARMOT_TOOLS/get-helm.sh" "$PWD/.tools/bin" >/dev/null && "$MARMOT_TOOLS/get-helm.sh" --helm3 "$PWD/.tools/bin/3" >/dev/null || cannot "helm could not be installed"
  "$MARMOT_TOOLS/get-docker.sh" >/dev/null || cannot "Docker could not be installed"
  # The SDK's own folder: the stand-ins copy it, and `dotnet` in PATH may be a script in front of it.
  sdk=$(dotnet --list-sdks 2>/dev/null | sed -nE 's/.*\[(.*)\/sdk\]$/\1/p' | tail -1)
  [ -z "$sdk" ] || export PATH="$sdk:$PATH"
  "$MARMOT_TOOLS/offline-images.sh" nginx caddy >/dev/null && "$MARMOT_TOOLS/offline-images.sh" --strict --scan Dockerfile >/dev/null && "$MARMOT_TOOLS/offline-images.sh" --scan docker-compose.yml >/dev/null || cannot "the Docker daemon does not run here, or a base image is missing"
else
  unset MARMOT_TOOLS
  command -v helm >/dev/null 2>&1 || cannot "neither $tools nor helm is on this machine"
  docker info >/dev/null 2>&1 || cannot "neither $tools nor a running Docker is on this machine"
  docker compose version >/dev/null 2>&1 || cannot "docker compose is missing"
fi
need_packages "openssl=command -v openssl"
# promtool alone, out of Debian's package: installing that would start a Prometheus.
if ! command -v promtool >/dev/null 2>&1; then
  (folder=$(mktemp -d) && cd "$folder" && apt-get download prometheus && dpkg-deb -x prometheus_*.deb . && mkdir -p "$OLDPWD/.tools/bin" && cp usr/bin/promtool "$OLDPWD/.tools/bin/" && rm -rf "$folder") >/dev/null 2>&1 ||
    say "promtool could not be fetched: the test of the alert rules will fail"
fi
(cd tests/containers && npm ci --no-audit --no-fund --loglevel=error >/dev/null) || cannot "npm could not install tests/containers"

export MARMOT_IMAGE=${MARMOT_IMAGE:-marmot-server:test}
say "building the image ..."
docker build -q -t "$MARMOT_IMAGE" --build-arg REVISION="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" . >/dev/null || { say "the image could not be built; run 'docker build .' to see why"; printf '0 passed, 1 failed\n'; exit 1; }
say "image ready after $((SECONDS - started)) s"

files=()
if [ $# -gt 0 ]; then for name in "$@"; do files+=("tests/containers/$name.test.mjs"); done; else files=(tests/containers/*.test.mjs); fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
node --test --test-concurrency=2 --test-reporter=spec --test-reporter-destination=stdout --test-reporter=tap --test-reporter-destination="$log" "${files[@]}"
status=$?

# Leaf tests only: a suite that fails because a test of it failed is not counted again.
count() { sed -nE "s/^# $1 ([0-9]+)$/\1/p" "$log" | tail -1; }
passed=$(count pass); failed=$(( $(count fail) + $(count cancelled) + $(count skipped) ))
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
say "container tests took $((SECONDS - started)) s"
printf '%d passed, %d failed\n' "${passed:-0}" "$failed"
[ "$failed" -eq 0 ] && [ "${passed:-0}" -gt 0 ]
