#!/usr/bin/env bash
# Tries `./run` and `doctor` on a machine that has nothing: a debootstrap minbase chroot, once as root and once as a plain user, from a clone of this repository's HEAD.
#   tests/containers/clean-machine.sh [bookworm|trixie ...]     default: both, which are Debian 12 and 13
# Needs root, debootstrap and git. MARMOT_SDK names a folder with the .NET SDK 10 that is put where the vendor's script would put it (~/.dotnet); default: the one that `dotnet` in PATH belongs to.
# MARMOT_MIRROR is the Debian mirror, MARMOT_APT_CONF a file of apt settings for the chroot,
# MARMOT_CA_FILES private certificate authorities (PEM, one each, separated by spaces) to be trusted there. Ends with 'N passed, N failed'; exit codes as tests/containers/run.sh.
set -uo pipefail
cd "$(dirname "$0")/../.."
say() { printf '%s\n' "$*" >&2; }
cannot() { say "clean machine: NOT RUN: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || cannot "a chroot needs root"
command -v debootstrap >/dev/null 2>&1 || cannot "debootstrap is missing"
sdk=${MARMOT_SDK:-$(dotnet --list-sdks 2>/dev/null | sed -nE 's/^10\..*\[(.*)\/sdk\]$/\1/p' | tail -1)}
[ -x "$sdk/dotnet" ] || cannot "no .NET SDK 10 is at hand; set MARMOT_SDK"
mirror=${MARMOT_MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d)
port=${MARMOT_PORT:-18080} # and the next one for the admin port
passed=0 failed=0
chroots=()
cleanup() {
  local root
  for root in ${chroots[@]+"${chroots[@]}"}; do umount -l "$root/proc" 2>/dev/null || true; done
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

# check NAME COMMAND...: counts whether the command succeeds.
check() {
  local name=$1; shift
  if "$@"; then passed=$((passed + 1)); say "ok: $name"; else failed=$((failed + 1)); say "FAILED: $name"; fi
}

# enter ROOT USER COMMAND: a login of that user, with nothing of this shell's environment.
enter() { chroot "$1" /usr/bin/env -i HOME="$(home "$2")" USER="$2" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb setpriv --reuid "$2" --regid "$2" --init-groups bash -c "$3"; }
home() { if [ "$1" = root ]; then echo /root; else echo "/home/$1"; fi; }

# make ROOT USER BASE: a copy of the base system with a user, the SDK and the clone.
make() {
  local root=$1 user=$2 folder
  cp -a "$3" "$root" && chroots+=("$root")
  mount -t proc proc "$root/proc" || return 1
  [ "$user" = root ] || chroot "$root" useradd --create-home --shell /bin/bash "$user" || return 1
  folder="$root$(home "$user")"
  cp -al "$sdk" "$folder/.dotnet" 2>/dev/null || cp -a "$sdk" "$folder/.dotnet" || return 1
  git clone -q . "$folder/marmot-server" || return 1
  chroot "$root" chown -R "$user:$user" "$(home "$user")/marmot-server"
  # The SDK's own folder too: dotnet notes its first run there. The files inside are links to the machine's SDK and stay root's.
  [ "$user" = root ] || chroot "$root" chown "$user:$user" "$(home "$user")" "$(home "$user")/.dotnet"
}

# comes_up ROOT USER: ./run answers its health check and doctor passes; then it is stopped.
comes_up() {
  local root=$1 user=$2 pid status=1 waited
  enter "$root" "$user" 'cd ~/marmot-server && exec ./run --Storage:DataDirectory=$HOME/data --Public:Urls=http://127.0.0.1:'$port' --Admin:Urls=http://127.0.0.1:'$((port + 1)) >"$root/run.log" 2>&1 &
  pid=$!
  for waited in $(seq 900); do
    kill -0 "$pid" 2>/dev/null || break
    if enter "$root" "$user" 'exec 3<>/dev/tcp/127.0.0.1/'$port 2>/dev/null; then status=0; break; fi
    sleep 1
  done
  if [ "$status" -eq 0 ]; then
    say "up after $waited s"
    enter "$root" "$user" 'cd ~/marmot-server && . eng/setup.sh && has_dotnet && dotnet src/AllInOne/bin/Release/net10.0/marmot-server.dll doctor --relay ws://127.0.0.1:'$port' --blossom http://127.0.0.1:'$port >"$root/doctor.log" 2>&1 || { status=1; tail -20 "$root/doctor.log" >&2; }
    grep -E "libsodium|libsecp256k1|liblmdb" "/proc/$(server_of "$root")/maps" | awk '{print $6}' | sort -u | sed "s|^|  loaded: |" >&2
  else
    tail -20 "$root/run.log" >&2
  fi
  kill "$(server_of "$root")" "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  return "$status"
}

# The process of the server in a chroot: the only dotnet there whose command line is `marmot-server.dll all`.
server_of() {
  local entry
  for entry in /proc/[0-9]*; do
    [ "$(readlink "$entry/root" 2>/dev/null)" = "$1" ] && tr '\0' ' ' <"$entry/cmdline" 2>/dev/null | grep -q 'marmot-server.dll all' && { basename "$entry"; return; }
  done
  echo 0
}

# the_command ROOT: the one command that ./run told the plain user to run.
the_command() { grep -A1 'Install them and start again:' "$1/run.log" | tail -1 | sed 's/sudo //g'; }

asks_for_one_command() {
  local root=$1 user=$2 command
  if enter "$root" "$user" 'cd ~/marmot-server && ./run' >"$root/run.log" 2>&1; then return 1; fi
  command=$(the_command "$root")
  say "the command: $command"
  [ -n "$command" ] && DEBIAN_FRONTEND=noninteractive chroot "$root" bash -c "$command" >"$root/apt.log" 2>&1 || { tail -5 "$root/run.log" "$root/apt.log" >&2; return 1; }
}

for release in "${@:-bookworm trixie}"; do for suite in $release; do
  base="$work/$suite"
  say "debootstrap $suite ..."
  debootstrap --variant=minbase "$suite" "$base" "$mirror" >"$work/$suite.log" 2>&1 || { tail -5 "$work/$suite.log" >&2; failed=$((failed + 1)); continue; }
  cp /etc/resolv.conf "$base/etc/resolv.conf" 2>/dev/null
  mkdir -p "$base/usr/local/share/ca-certificates"
  for authority in ${MARMOT_CA_FILES:-}; do cp "$authority" "$base/usr/local/share/ca-certificates/$(basename "$authority").crt"; done
  [ -z "${MARMOT_APT_CONF:-}" ] || cp "$MARMOT_APT_CONF" "$base/etc/apt/apt.conf.d/99clean-machine"
  make "$work/$suite-root" root "$base" && check "$suite, root: ./run comes up and doctor passes" comes_up "$work/$suite-root" root
  make "$work/$suite-user" someone "$base" && check "$suite, plain user: ./run asks for one command" asks_for_one_command "$work/$suite-user" someone
  check "$suite, plain user: ./run comes up and doctor passes" comes_up "$work/$suite-user" someone
done; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
