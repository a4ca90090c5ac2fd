// The bound: what libsecp256k1 takes for the curve operations of a benchmark, and nothing else. Reads a secret key (32), then records of two counts V and E
// (4 each, little endian), V times signature (64), message (32), x-only key (32), and E x-only keys (32) to derive shared points with.
// For each line on standard input it does all of them once and prints nanoseconds of CPU time of this thread and of wall time.
#include <secp256k1.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int copy_x(unsigned char *output, const unsigned char *x, const unsigned char *y, void *data) {
    (void)y;
    (void)data;
    memcpy(output, x, 32);
    return 1;
}

static unsigned number(const unsigned char *bytes) {
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (unsigned)bytes[3] << 24;
}

static long long since(struct timespec start, clockid_t clock) {
    struct timespec end;
    clock_gettime(clock, &end);
    return (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec);
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) return 2;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    unsigned char *all = malloc((size_t)size);
    if (!all || fread(all, 1, (size_t)size, file) != (size_t)size) return 2;

    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        struct timespec cpu, wall;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
        clock_gettime(CLOCK_MONOTONIC, &wall);
        const unsigned char *next = all + 32;
        while (next < all + size) {
            unsigned verifications = number(next), derivations = number(next + 4);
            next += 8;
            for (unsigned i = 0; i < verifications; i++, next += 128) {
                secp256k1_xonly_pubkey key;
                if (!secp256k1_xonly_pubkey_parse(context, &key, next + 96) || !secp256k1_schnorrsig_verify(context, next, next + 64, 32, &key)) return 3;
            }
            for (unsigned i = 0; i < derivations; i++, next += 32) {
                unsigned char compressed[33] = {2}, x[32];
                secp256k1_pubkey key;
                memcpy(compressed + 1, next, 32);
                if (!secp256k1_ec_pubkey_parse(context, &key, compressed, 33) || !secp256k1_ecdh(context, x, &key, all, copy_x, NULL)) return 3;
            }
        }
        printf("%lld %lld\n", since(cpu, CLOCK_THREAD_CPUTIME_ID), since(wall, CLOCK_MONOTONIC));
        fflush(stdout);
    }
    return 0;
}
