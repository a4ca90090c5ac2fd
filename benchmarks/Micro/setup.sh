# Sourced by ./bench: the limit beside each figure is libsecp256k1 in a C loop, compiled on the spot.
need_packages "gcc=command -v gcc" "libsecp256k1-dev=test -e /usr/include/secp256k1_schnorrsig.h"
