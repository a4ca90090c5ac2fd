using System.Security.Cryptography;

namespace Marmot.Platform.Native;

/// <summary>Tries the native libraries against known answers, so that one that is missing, too old or broken is known before the first message, not dropped
/// with each.</summary>
public static class NativeSelfTest
{
    // BIP-340, test vector 0: public key, then the signature of 32 zero bytes.
    private const string PublicKey = "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9";
    private const string Signature = "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215"
        + "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0";

    /// <summary>The libraries that every server needs, each by its name with what to try.</summary>
    public static IReadOnlyList<(string Library, Action Try)> Probes { get; } = [
        (NativeLibraries.Secp256k1, TrySecp256k1), (NativeLibraries.Sodium, TrySodium)
    ];

    /// <summary>What to install for a library, by the name of <see cref="NativeLibraries"/>.</summary>
    public static string InstallAdvice(string library) => NativeLibraries.InstallAdvice(library);

    private static void TrySecp256k1()
    {
        Secp256k1.EnsureLoaded();
        Span<byte> message = stackalloc byte[32];
        message.Clear();
        var signature = Convert.FromHexString(Signature);
        Require(Secp256k1.VerifySchnorr(signature, message, Convert.FromHexString(PublicKey)));
        signature[^1] ^= 1;
        Require(!Secp256k1.VerifySchnorr(signature, message, Convert.FromHexString(PublicKey)));
    }

    private static void TrySodium()
    {
        Sodium.EnsureLoaded();
        Span<byte> key = stackalloc byte[Sodium.KeySize];
        key.Fill(7);
        Span<byte> nonce = stackalloc byte[Sodium.NonceSize];
        nonce.Fill(9);
        Span<byte> ours = stackalloc byte[32];
        Sodium.HmacSha256(key, "marmot"u8, ours);
        Require(ours.SequenceEqual(HMACSHA256.HashData(key, "marmot"u8)));

        Span<byte> ciphertext = stackalloc byte[6 + Sodium.TagSize];
        Span<byte> plaintext = stackalloc byte[6];
        Sodium.ChaCha20Poly1305Encrypt(key, nonce, [], "marmot"u8, ciphertext);
        Require(Sodium.ChaCha20Poly1305Decrypt(key, nonce, [], ciphertext, plaintext) && plaintext.SequenceEqual("marmot"u8));
        ciphertext[^1] ^= 1;
        Require(!Sodium.ChaCha20Poly1305Decrypt(key, nonce, [], ciphertext, plaintext));
    }

    private static void Require(bool holds)
    {
        if (!holds)
        {
            throw new CryptographicException("its answers are wrong");
        }
    }
}
