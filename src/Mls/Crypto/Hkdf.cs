using System.Security.Cryptography;
using Marmot.Platform.Native;

namespace Marmot.Mls.Crypto;

/// <summary>
/// HKDF over a library's HMAC. References: RFC 5869. Own loop because <see cref="HKDF"/> on OpenSSL refuses info longer than 32 KiB,
/// and MLS puts the whole GroupContext there. Parameters: output at most 255 hash lengths. Thread-safe.
/// </summary>
internal static class Hkdf
{
    public const int MaxHashLength = 64;

    // A key schedule is many HMACs of some 30 bytes. Up to a few blocks libsodium's 0.7 us beat the 1.1 us of the base class library, whose faster compression
    // pays only for longer inputs.
    private const int ShortInput = 128;

    public static int HashLength(HashAlgorithmName hash) => hash == HashAlgorithmName.SHA256 ? 32 : hash == HashAlgorithmName.SHA384 ? 48 : 64;

    public static byte[] Hash(HashAlgorithmName hash, ReadOnlySpan<byte> data) => CryptographicOperations.HashData(hash, data);

    public static byte[] Mac(HashAlgorithmName hash, ReadOnlySpan<byte> key, ReadOnlySpan<byte> data)
    {
        var tag = new byte[HashLength(hash)];
        Mac(hash, key, data, tag);
        return tag;
    }

    private static void Mac(HashAlgorithmName hash, ReadOnlySpan<byte> key, ReadOnlySpan<byte> data, Span<byte> tag)
    {
        if (data.Length <= ShortInput && hash == HashAlgorithmName.SHA256) Sodium.HmacSha256(key, data, tag);
        else CryptographicOperations.HmacData(hash, key, data, tag);
    }

    /// <summary>Fills <paramref name="output"/>, which is one hash long.</summary>
    public static void Extract(HashAlgorithmName hash, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> ikm, Span<byte> output) => Mac(hash, salt, ikm, output);

    /// <summary>Fills <paramref name="output"/>. The last byte of <paramref name="infoAndCounter"/> is free for the counter, so that nothing is
    /// copied.</summary>
    public static void Expand(HashAlgorithmName hash, ReadOnlySpan<byte> prk, Span<byte> infoAndCounter, Span<byte> output)
    {
        var hashLength = HashLength(hash);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(output.Length, 255 * hashLength);
        Span<byte> block = stackalloc byte[MaxHashLength];
        block = block[..hashLength];

        // The first round has no previous block, and mostly there is no other.
        infoAndCounter[^1] = 1;
        Mac(hash, prk, infoAndCounter, block);
        var done = Math.Min(hashLength, output.Length);
        block[..done].CopyTo(output);
        if (done < output.Length) ExpandFurther(hash, prk, infoAndCounter, block, output, done);
        CryptographicOperations.ZeroMemory(block);
    }

    private static void ExpandFurther(HashAlgorithmName hash, ReadOnlySpan<byte> prk, ReadOnlySpan<byte> infoAndCounter, Span<byte> block,
        Span<byte> output, int done)
    {
        var input = GC.AllocateUninitializedArray<byte>(block.Length + infoAndCounter.Length, pinned: true);
        infoAndCounter.CopyTo(input.AsSpan(block.Length));
        while (done < output.Length)
        {
            block.CopyTo(input);
            input[^1]++;
            Mac(hash, prk, input, block);
            var take = Math.Min(block.Length, output.Length - done);
            block[..take].CopyTo(output[done..]);
            done += take;
        }
        CryptographicOperations.ZeroMemory(input);
    }
}
