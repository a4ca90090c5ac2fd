using System.Buffers;
using System.Security.Cryptography;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Encryption;

/// <summary>HKDF with SHA-256 (RFC 5869) over one-shot HMAC, without allocation for short info; every intermediate block is wiped.</summary>
/// <remarks>
/// References: RFC 5869. Parameters: hash 32 bytes, output up to 255 x 32 bytes.
/// Not the framework's HKDF class: on OpenSSL 3.0 its Expand throws when info is longer than 32,768 bytes, which a large group extension reaches. Thread-safe.
/// </remarks>
public static class HkdfSha256
{
    /// <summary>Length of a pseudorandom key and of one output block in bytes.</summary>
    public const int HashSize = 32;

    /// <summary>Longest output in bytes (RFC 5869, 2.3).</summary>
    public const int MaxOutputSize = 255 * HashSize;

    // Previous block, info, counter; longer ones come from the pool.
    private const int StackSize = 512;

    /// <summary>HKDF-Extract: writes the 32-byte pseudorandom key. An empty salt means 32 zero bytes (RFC 5869, 2.2).</summary>
    public static void Extract(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> inputKeyMaterial, Span<byte> pseudorandomKey) =>
        HMACSHA256.HashData(salt, inputKeyMaterial, pseudorandomKey[..HashSize]);

    /// <summary>HKDF-Expand: fills <paramref name="output"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than <see cref="MaxOutputSize"/> bytes are asked for.</exception>
    public static void Expand(ReadOnlySpan<byte> pseudorandomKey, ReadOnlySpan<byte> info, Span<byte> output)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(output.Length, MaxOutputSize, nameof(output));
        int size = checked(HashSize + info.Length + 1);
        byte[]? rented = null;
        Span<byte> block = size <= StackSize ? stackalloc byte[StackSize] : (rented = ArrayPool<byte>.Shared.Rent(size));
        block = block[..size];
        info.CopyTo(block[HashSize..]);
        for (int done = 0, counter = 1; done < output.Length; counter++)
        {
            // RFC 5869, 2.3: T(n) = HMAC(PRK, T(n-1) | info | n); T(0) is empty.
            block[^1] = (byte)counter;
            HMACSHA256.HashData(pseudorandomKey, counter == 1 ? block[HashSize..] : block, block[..HashSize]);
            int take = Math.Min(HashSize, output.Length - done);
            block[..take].CopyTo(output[done..]);
            done += take;
        }

        CryptographicOperations.ZeroMemory(block);
        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>A salt with its share of every extraction done once: two of the four hash blocks of a short one.</summary>
    /// <remarks>Immutable, thread-safe. Not for secrets.</remarks>
    internal sealed class PreparedSalt
    {
        private readonly Sodium.HmacSha256State _state;

        public PreparedSalt(ReadOnlySpan<byte> salt) => Sodium.HmacSha256Begin(salt, out _state);

        /// <summary>HKDF-Extract of a short input.</summary>
        public void Extract(ReadOnlySpan<byte> inputKeyMaterial, Span<byte> pseudorandomKey)
        {
            var state = _state;
            Sodium.HmacSha256End(ref state, inputKeyMaterial, pseudorandomKey[..HashSize]);
            Wipe(ref state);
        }
    }

    /// <summary>HKDF-Expand for short info and output, which the calls of a general HMAC would cost more than the hashing: the key is taken in once for all
    /// blocks.</summary>
    internal static void ExpandShort(ReadOnlySpan<byte> pseudorandomKey, ReadOnlySpan<byte> info, Span<byte> output)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(output.Length, MaxOutputSize, nameof(output));
        Span<byte> block = stackalloc byte[StackSize];
        block = block[..(HashSize + info.Length + 1)];
        info.CopyTo(block[HashSize..]);
        Sodium.HmacSha256Begin(pseudorandomKey, out var keyed);
        Sodium.HmacSha256State state = default;
        for (int done = 0, counter = 1; done < output.Length; counter++)
        {
            state = keyed;
            block[^1] = (byte)counter;
            Sodium.HmacSha256End(ref state, counter == 1 ? block[HashSize..] : block, block[..HashSize]);
            int take = Math.Min(HashSize, output.Length - done);
            block[..take].CopyTo(output[done..]);
            done += take;
        }

        CryptographicOperations.ZeroMemory(block);
        Wipe(ref state);
        Wipe(ref keyed);
    }

    private static void Wipe(ref Sodium.HmacSha256State state) =>
        CryptographicOperations.ZeroMemory(System.Runtime.InteropServices.MemoryMarshal.AsBytes(new Span<Sodium.HmacSha256State>(ref state)));

    /// <summary>Extract, then Expand.</summary>
    public static void DeriveKey(ReadOnlySpan<byte> inputKeyMaterial, ReadOnlySpan<byte> salt, ReadOnlySpan<byte> info, Span<byte> output)
    {
        Span<byte> pseudorandomKey = stackalloc byte[HashSize];
        Extract(salt, inputKeyMaterial, pseudorandomKey);
        Expand(pseudorandomKey, info, output);
        CryptographicOperations.ZeroMemory(pseudorandomKey);
    }
}
