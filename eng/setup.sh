# Sourced by ./run, ./test and ./bench: finds or installs what they need and says what it installs.

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Invariant globalization: neither the SDK nor the servers need ICU, which a minimal system does not have.
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1

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

# OpenSSL 3, which .NET's cryptography calls; its package is named after its ABI.
openssl_package() {
  if apt-cache show libssl3t64 >/dev/null 2>&1; then echo libssl3t64; else echo libssl3; fi
}

has_dotnet() {
  if command -v dotnet >/dev/null 2>&1 && dotnet --list-sdks 2>/dev/null | grep -q '^10\.'; then return 0; fi
  if [ -x "$HOME/.dotnet/dotnet" ] && "$HOME/.dotnet/dotnet" --list-sdks 2>/dev/null | grep -q '^10\.'; then
    export PATH="$HOME/.dotnet:$PATH" DOTNET_ROOT="$HOME/.dotnet"
    return 0
  fi
  return 1
}

# Everything that building and running needs, in one go, so that whoever is not root gets one command: LMDB (libsodium and libsecp256k1 come with the packages that `dotnet restore` fetches),
# OpenSSL, certificates and the C++ library for .NET, and what fetches the SDK when it is missing. NAME=PROBE arguments are added to it. The SDK comes from PATH, from the user's folder, or by the vendor's
# script into that folder.
need_all() {
  if [ "$(uname -s)" = Linux ]; then
    if [ "$(id -u)" -eq 0 ] && ! has_library liblmdb && command -v apt-get >/dev/null 2>&1; then apt-get update -qq >/dev/null 2>&1 || true; fi
    local wanted=("liblmdb0=has_library liblmdb" "$(openssl_package)=has_library libssl" "libstdc++6=has_library libstdc++" "ca-certificates=test -e /etc/ssl/certs/ca-certificates.crt")
    has_dotnet || wanted+=("curl=command -v curl")
    need_packages "${wanted[@]}" "$@"
  else
    say "the system's libraries are not checked here; if the program says that one is missing: brew install lmdb"
  fi
  has_dotnet && return 0
  say "installing the .NET SDK 10 into $HOME/.dotnet with the vendor's install script ..."
  local script; script=$(mktemp)
  curl -fsSL https://dot.net/v1/dotnet-install.sh -o "$script" || die "the .NET SDK 10 is missing and its install script could not be fetched. Install it by hand (https://dotnet.microsoft.com/download/dotnet/10.0) and start again."
  bash "$script" --channel 10.0 --install-dir "$HOME/.dotnet" >&2 || die "the .NET install script failed; its message is above"
  rm -f "$script"
  export PATH="$HOME/.dotnet:$PATH" DOTNET_ROOT="$HOME/.dotnet"
}
