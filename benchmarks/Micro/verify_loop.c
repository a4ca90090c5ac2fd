// The yardstick: libsecp256k1's own speed. Reads records of signature (64), message (32) and x-only key (32) from a file,
// then for each line on standard input verifies all of them once and prints the nanoseconds of CPU time that took.
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RECORD = 64 + 32 + 32 };

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) return 2;
    fseek(file, 0, SEEK_END);
    long size = ftell(file), count = size / RECORD;
    rewind(file);
    unsigned char *records = malloc((size_t)size);
    if (!records || fread(records, 1, (size_t)size, file) != (size_t)size) return 2;

    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        struct timespec start, end;
        long good = 0;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        for (long i = 0; i < count; i++) {
            const unsigned char *record = records + i * RECORD;
            secp256k1_xonly_pubkey key;
            good += secp256k1_xonly_pubkey_parse(context, &key, record + 96)
                 && secp256k1_schnorrsig_verify(context, record, record + 64, 32, &key);
        }
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        if (good != count) return 3;
        printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec));
        fflush(stdout);
    }
    return 0;
}
