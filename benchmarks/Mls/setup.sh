# Sourced by ./bench: ts-mls, the peer, lives with the tests that talk to it.
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then need_packages "nodejs=command -v node" "npm=command -v npm"; fi
[ -d tests/Mls.Tests/Peer/node_modules/ts-mls ] || (cd tests/Mls.Tests/Peer && npm ci --no-audit --no-fund --loglevel=error >/dev/null) || die "npm could not install ts-mls; run 'npm ci' in tests/Mls.Tests/Peer to see why"
