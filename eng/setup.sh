# Sourced by ./run, ./test and ./bench: finds or installs what they need and says what it installs.

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

# need_packages NAME=PROBE...: installs Debian packages whose probe (a command) fails.
need_packages() {
  local missing=() pair
  for pair in "$@"; do
    eval "${pair#*=}" >/dev/null 2>&1 || missing+=("${pair%%=*}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 || die "these libraries or programs are missing: ${missing[*]}. Install them with your system's package manager (Debian's names are shown) and start again."
  if [ "$(id -u)" -ne 0 ]; then
    die "these packages are missing. Install them and start again:
  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
  fi
  say "installing ${missing[*]} ..."
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null || say "warning: the package lists could not be refreshed; trying with the ones at hand"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get could not install ${missing[*]}; run 'apt-get install ${missing[*]}' to see why"
}

# has_library NAME: the dynamic linker knows NAME.so.<any>.
has_library() { /sbin/ldconfig -p 2>/dev/null | grep -q "$1\.so\."; }

# Newer releases name the package after a newer soname.
secp256k1_package() {
  local name
  for name in libsecp256k1-2 libsecp256k1-1; do
    apt-cache show "$name" >/dev/null 2>&1 && { echo "$name"; return; }
  done
  echo libsecp256k1-1
}

need_native_libraries() {
  if has_library libsecp256k1 && has_library libsodium && has_library liblmdb; then return 0; fi
  if [ "$(uname -s)" != Linux ]; then
    say "the native libraries are not checked on this system; if the program says one is missing: brew install secp256k1 libsodium lmdb"
    return 0
  fi
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then apt-get update -qq >/dev/null 2>&1 || true; fi
  need_packages "$(secp256k1_package)=has_library libsecp256k1" "libsodium23=has_library libsodium" "liblmdb0=has_library liblmdb"
}

# The .NET SDK 10: from PATH, from the user's folder, or by the vendor's install script into that folder.
need_dotnet() {
  if command -v dotnet >/dev/null 2>&1 && dotnet --list-sdks 2>/dev/null | grep -q '^10\.'; then return 0; fi
  if [ -x "$HOME/.dotnet/dotnet" ] && "$HOME/.dotnet/dotnet" --list-sdks | grep -q '^10\.'; then
    export PATH="$HOME/.dotnet:$PATH" DOTNET_ROOT="$HOME/.dotnet"
    return 0
  fi
  if command -v apt-get >/dev/null 2>&1; then need_packages "curl=command -v curl" "ca-certificates=test -e /etc/ssl/certs/ca-certificates.crt"; fi
  say "installing the .NET SDK 10 into $HOME/.dotnet with the vendor's install script ..."
  local script; script=$(mktemp)
  curl -fsSL https://dot.net/v1/dotnet-install.sh -o "$script" || die "the .NET SDK 10 is missing and its install script could not be fetched. Install it by hand (https://dotnet.microsoft.com/download/dotnet/10.0) and start again."
  bash "$script" --channel 10.0 --install-dir "$HOME/.dotnet" >&2 || die "the .NET install script failed; its message is above"
  rm -f "$script"
  export PATH="$HOME/.dotnet:$PATH" DOTNET_ROOT="$HOME/.dotnet"
}
