using System.Security.Cryptography;
using Marmot.Platform.Native;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using NBitcoin.Secp256k1;
using NSec.Cryptography;
using Secp256k1 = Marmot.Platform.Native.Secp256k1;

namespace Marmot.Benchmarks.Micro;

/// <summary>Our bindings beside the managed libraries that could stand in their place: processor time and bytes allocated an operation, on one core, in turns
/// (docs/decisions/0001).</summary>
internal static class LibraryComparison
{
    private static readonly byte[] Message = RandomNumberGenerator.GetBytes(32);
    private static readonly byte[] Plaintext = RandomNumberGenerator.GetBytes(1024);
    private static readonly byte[] Nonce = RandomNumberGenerator.GetBytes(12);
    private static readonly byte[] Secret = RandomNumberGenerator.GetBytes(32);

    public static void Run(int rounds)
    {
        Console.WriteLine();
        Console.WriteLine($"Bindings beside managed libraries, {rounds} rounds in turns");
        Console.WriteLine($"{"",-36} {"ours us",9} {"B",6}   {"other us",9} {"B",6}   {"other/ours",10}");
        Curve(rounds);
        Sodiums(rounds);
    }

    private static void Curve(int rounds)
    {
        using var key = SecretKey.Generate();
        byte[] secret = new byte[32], signature = new byte[64];
        RandomNumberGenerator.Fill(secret);
        var theirs = ECPrivKey.Create(secret);
        var theirPublic = theirs.CreateXOnlyPubKey();
        var publicKey = theirPublic.ToBytes();
        var signed = theirs.SignBIP340(Message).ToBytes();
        Compare("verify: NBitcoin.Secp256k1", rounds, 200,
            () => Secp256k1.VerifySchnorr(signed, Message, publicKey),
            () => ECXOnlyPubKey.TryCreate(publicKey, out var parsed) && SecpSchnorrSignature.TryCreate(signed, out var s)
                && parsed.SigVerifyBIP340(s, Message));
        Compare("sign: NBitcoin.Secp256k1", rounds, 200,
            () =>
            {
                key.Sign(Message, signature);
                return true;
            },
            () => theirs.SignBIP340(Message) is not null);
        var peer = new Bytes32(publicKey);
        byte[] shared = new byte[32], compressed = [2, .. publicKey];
        Compare("ECDH: NBitcoin.Secp256k1", rounds, 200,
            () => key.TryDeriveSharedX(peer, shared),
            () => ECPubKey.TryCreate(compressed, NBitcoin.Secp256k1.Context.Instance, out _, out var point) && point.GetSharedPubkey(theirs) is not null);
    }

    private static void Sodiums(int rounds)
    {
        byte[] publicKey = new byte[32], prepared = new byte[64], signature = new byte[64], shared = new byte[32],
            ciphertext = new byte[Plaintext.Length + Sodium.TagSize];
        _ = Sodium.TryEd25519FromSeed(Secret, publicKey, prepared);
        using var theirs = Key.Import(SignatureAlgorithm.Ed25519, Secret, KeyBlobFormat.RawPrivateKey);
        var parsed = theirs.PublicKey;
        Sodium.Ed25519Sign(prepared, Plaintext, signature);
        Compare("Ed25519 verify, key kept: NSec", rounds, 200, () => Sodium.Ed25519Verify(publicKey, Plaintext, signature),
            () => SignatureAlgorithm.Ed25519.Verify(parsed, Plaintext, signature));
        Compare("Ed25519 verify, key read: NSec", rounds, 200,
            () => Sodium.Ed25519Verify(publicKey, Plaintext, signature),
            () => SignatureAlgorithm.Ed25519.Verify(PublicKey.Import(SignatureAlgorithm.Ed25519, publicKey, KeyBlobFormat.RawPublicKey), Plaintext, signature));
        Compare("Ed25519 sign, key kept: NSec", rounds, 200,
            () =>
            {
                Sodium.Ed25519Sign(prepared, Plaintext, signature);
                return true;
            },
            () =>
            {
                SignatureAlgorithm.Ed25519.Sign(theirs, Plaintext, signature);
                return true;
            });
        byte[] peer = new byte[32];
        _ = Sodium.TryX25519PublicKey(RandomNumberGenerator.GetBytes(32), peer);
        using var agreeing = Key.Import(KeyAgreementAlgorithm.X25519, Secret, KeyBlobFormat.RawPrivateKey);
        var theirPeer = PublicKey.Import(KeyAgreementAlgorithm.X25519, peer, KeyBlobFormat.RawPublicKey);
        Compare("X25519, key kept: NSec", rounds, 200,
            () => Sodium.TryX25519(Secret, peer, shared),
            () =>
            {
                using var agreed = KeyAgreementAlgorithm.X25519.Agree(agreeing, theirPeer);
                return agreed is not null;
            });
        Compare("ChaCha20-Poly1305, 1 KB, new key: NSec", rounds, 200,
            () =>
            {
                Sodium.ChaCha20Poly1305Encrypt(Secret, Nonce, [], Plaintext, ciphertext);
                return true;
            },
            () =>
            {
                using var fresh = Key.Import(AeadAlgorithm.ChaCha20Poly1305, Secret, KeyBlobFormat.RawSymmetricKey);
                AeadAlgorithm.ChaCha20Poly1305.Encrypt(fresh, Nonce, [], Plaintext, ciphertext);
                return true;
            });
    }

    private static void Compare(string name, int rounds, int operations, Func<bool> ours, Func<bool> other)
    {
        for (var warm = 0; warm < 3; warm++)
        {
            Time(ours, operations);
            Time(other, operations);
        }

        var (a, b) = (new (long Nanoseconds, long Bytes)[rounds], new (long Nanoseconds, long Bytes)[rounds]);
        for (var round = 0; round < rounds; round++)
        {
            a[round] = Time(ours, operations);
            b[round] = Time(other, operations);
        }

        var (us, them) = (Median(a) / 1000.0 / operations, Median(b) / 1000.0 / operations);
        Console.WriteLine($"{name,-36} {us,9:F2} {a[^1].Bytes / operations,6}   {them,9:F2} {b[^1].Bytes / operations,6}   {them / us,10:F2}");
    }

    private static (long Nanoseconds, long Bytes) Time(Func<bool> work, int operations)
    {
        var bytes = GC.GetAllocatedBytesForCurrentThread();
        var start = ThreadClock.Now();
        for (var i = 0; i < operations; i++)
        {
            if (!work())
            {
                throw new InvalidOperationException("an operation of the benchmark failed");
            }
        }

        return (ThreadClock.Now() - start, GC.GetAllocatedBytesForCurrentThread() - bytes);
    }

    private static long Median((long Nanoseconds, long Bytes)[] values) => values.Select(value => value.Nanoseconds).Order().ElementAt(values.Length / 2);
}
