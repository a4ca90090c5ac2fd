using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Encryption;

/// <summary>NIP-44 version 2 payloads: padded, ChaCha20-encrypted, HMAC-authenticated, base64.</summary>
/// <remarks>
/// References: NIP-44 with the extended length prefix of 2026-06-28. Parameters: conversation key 32 bytes, nonce 32 bytes, MAC 32 bytes.
/// Payload = base64(version 1 | nonce 32 | ciphertext | MAC 32). The ciphertext hides a length prefix, the plaintext and zero padding.
/// Reads both prefixes; writes the long one only above 65,535 bytes, because older readers know only the short one. Bad input gives false. Thread-safe.
/// </remarks>
public static class Nip44
{
    /// <summary>Length of a conversation key in bytes.</summary>
    public const int ConversationKeySize = 32;

    /// <summary>Longest plaintext in bytes that a reader without the extended prefix understands.</summary>
    public const int MaxShortPlaintext = ushort.MaxValue;

    /// <summary>Shortest payload in characters: base64 of <see cref="MinDecodedSize"/> bytes.</summary>
    public const int MinPayloadLength = 132;

    /// <summary>Default bound on a payload in characters: 1 MiB, well above any relay's event limit.</summary>
    public const int DefaultMaxPayloadLength = 1 << 20;

    // NIP-44: 1 version + 32 nonce + 2 prefix + 32 shortest padding + 32 MAC = 99.
    private const int MinDecodedSize = 99;
    private const int VersionSize = 1;
    private const int NonceSize = 32;
    private const int MacSize = 32;
    private const int HeaderSize = VersionSize + NonceSize;
    private const int Overhead = HeaderSize + MacSize;
    private const int ShortPrefixSize = sizeof(ushort);
    private const int LongPrefixSize = sizeof(ushort) + sizeof(uint);
    private const byte Version = 2;

    // ChaCha20 key 32 | ChaCha20 nonce 12 | HMAC key 32.
    private const int MessageKeysSize = Sodium.KeySize + Sodium.NonceSize + MacSize;

    private static readonly HkdfSha256.PreparedSalt Salt = new("nip44-v2"u8);

    /// <summary>Writes the 32-byte conversation key of a secret and a public key; the caller wipes it.</summary>
    /// <returns>False when the public key is not on the curve; nothing is left in <paramref name="conversationKey"/>.</returns>
    public static bool TryDeriveConversationKey(SecretKey own, in Bytes32 peer, Span<byte> conversationKey)
    {
        Span<byte> sharedX = stackalloc byte[32];
        bool derived = own.TryDeriveSharedX(peer, sharedX);
        if (derived)
        {
            Salt.Extract(sharedX, conversationKey);
        }

        CryptographicOperations.ZeroMemory(sharedX);
        return derived;
    }

    /// <summary>Bytes of buffer that <see cref="TryDecrypt(ReadOnlySpan{byte}, ReadOnlySpan{byte}, Span{byte}, out ReadOnlySpan{byte}, int)"/> needs for a
    /// payload of so many characters.</summary>
    public static int GetDecryptBufferSize(int payloadLength) => payloadLength / 4 * 3;

    /// <summary>Decrypts a payload inside <paramref name="buffer"/>, without allocation.</summary>
    /// <param name="conversationKey">32 bytes.</param>
    /// <param name="payload">The base64 text as UTF-8.</param>
    /// <param name="buffer">At least <see cref="GetDecryptBufferSize"/> bytes; owned by the caller, who wipes it. Wiped here when decryption fails.</param>
    /// <param name="plaintext">The plaintext, a part of <paramref name="buffer"/>.</param>
    /// <param name="maxPayloadLength">Longer payloads are refused before anything is decoded.</param>
    /// <returns>False when the payload is too short or long, not base64, of another version, forged, or wrongly padded.</returns>
    public static bool TryDecrypt(
        scoped ReadOnlySpan<byte> conversationKey,
        scoped ReadOnlySpan<byte> payload,
        Span<byte> buffer,
        out ReadOnlySpan<byte> plaintext,
        int maxPayloadLength = DefaultMaxPayloadLength)
    {
        plaintext = default;

        // A leading '#' announces a future encoding that is not base64 (NIP-44); it fails as base64 too.
        if (payload.Length < MinPayloadLength
            || payload.Length > maxPayloadLength
            || !StrictBase64.TryDecode(payload, buffer, out int decoded)
            || decoded < MinDecodedSize
            || buffer[0] != Version)
        {
            return false;
        }

        var raw = buffer[..decoded];
        var sealedPart = raw[VersionSize..^MacSize];
        var padded = raw[HeaderSize..^MacSize];
        Span<byte> keys = stackalloc byte[MessageKeysSize];
        Span<byte> mac = stackalloc byte[MacSize];
        DeriveMessageKeys(conversationKey, raw.Slice(VersionSize, NonceSize), keys);

        // The MAC covers nonce | ciphertext and is checked before anything is decrypted.
        HMACSHA256.HashData(keys[^MacSize..], sealedPart, mac);
        bool genuine = CryptographicOperations.FixedTimeEquals(mac, raw[^MacSize..]);
        if (genuine)
        {
            Sodium.ChaCha20Xor(keys[..Sodium.KeySize], keys.Slice(Sodium.KeySize, Sodium.NonceSize), padded, padded);
            genuine = TryUnpad(padded, out plaintext);
            if (!genuine)
            {
                CryptographicOperations.ZeroMemory(padded);
            }
        }

        CryptographicOperations.ZeroMemory(keys);
        return genuine;
    }

    /// <summary>Decrypts a payload to text; false also when the plaintext is not UTF-8.</summary>
    public static bool TryDecrypt(ConversationKey key, string payload, [NotNullWhen(true)] out string? plaintext)
    {
        plaintext = null;
        if (payload.Length is < MinPayloadLength or > DefaultMaxPayloadLength || !Ascii.IsValid(payload))
        {
            return false;
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(payload.Length + GetDecryptBufferSize(payload.Length));
        try
        {
            int length = System.Text.Encoding.ASCII.GetBytes(payload, buffer);
            if (!TryDecrypt(key.Span, buffer.AsSpan(0, length), buffer.AsSpan(length), out var bytes) || !System.Text.Unicode.Utf8.IsValid(bytes))
            {
                return false;
            }

            plaintext = System.Text.Encoding.UTF8.GetString(bytes);
            return true;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(buffer);
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Length in characters of the payload for so many bytes of plaintext.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The plaintext is empty or its payload would not fit an array.</exception>
    public static int GetPayloadLength(int plaintextLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(plaintextLength);
        long length = StrictBase64.EncodedLength(Overhead + PrefixSize(plaintextLength) + GetPaddedLength(plaintextLength));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Array.MaxLength, nameof(plaintextLength));
        return (int)length;
    }

    /// <summary>Encrypts under a fresh random nonce into <paramref name="payload"/>, exactly <see cref="GetPayloadLength"/> bytes of base64 text.</summary>
    public static void Encrypt(ReadOnlySpan<byte> conversationKey, ReadOnlySpan<byte> plaintext, Span<byte> payload)
    {
        Span<byte> nonce = stackalloc byte[NonceSize];
        RandomNumberGenerator.Fill(nonce);
        Encrypt(conversationKey, nonce, plaintext, payload);
    }

    /// <summary>Encrypts text.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The text is empty.</exception>
    public static string Encrypt(ConversationKey key, string plaintext)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(plaintext);
        byte[] payload = new byte[GetPayloadLength(bytes.Length)];
        Encrypt(key.Span, bytes, payload);
        CryptographicOperations.ZeroMemory(bytes);
        return System.Text.Encoding.ASCII.GetString(payload);
    }

    /// <summary>Encrypts under a given nonce, which must never repeat under one key: for published vectors.</summary>
    internal static void Encrypt(ReadOnlySpan<byte> conversationKey, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> plaintext, Span<byte> payload)
    {
        int payloadLength = GetPayloadLength(plaintext.Length);
        if (payload.Length != payloadLength)
        {
            throw new ArgumentException("the payload buffer has the wrong length", nameof(payload));
        }

        // Everything is built at the start of the payload buffer and encoded in place.
        int prefix = PrefixSize(plaintext.Length);
        var raw = payload[..(Overhead + prefix + (int)GetPaddedLength(plaintext.Length))];
        var padded = raw[HeaderSize..^MacSize];
        raw[0] = Version;
        nonce.CopyTo(raw[VersionSize..]);
        plaintext.CopyTo(padded[prefix..]);
        padded[(prefix + plaintext.Length)..].Clear();
        BinaryPrimitives.WriteUInt16BigEndian(padded, prefix == ShortPrefixSize ? (ushort)plaintext.Length : (ushort)0);
        if (prefix == LongPrefixSize)
        {
            BinaryPrimitives.WriteUInt32BigEndian(padded[sizeof(ushort)..], (uint)plaintext.Length);
        }

        Span<byte> keys = stackalloc byte[MessageKeysSize];
        DeriveMessageKeys(conversationKey, nonce, keys);
        Sodium.ChaCha20Xor(keys[..Sodium.KeySize], keys.Slice(Sodium.KeySize, Sodium.NonceSize), padded, padded);
        HMACSHA256.HashData(keys[^MacSize..], raw[VersionSize..^MacSize], raw[^MacSize..]);
        CryptographicOperations.ZeroMemory(keys);
        Base64.EncodeToUtf8InPlace(payload, raw.Length, out _);
    }

    /// <summary>Fills 76 bytes: ChaCha20 key 32, ChaCha20 nonce 12, HMAC key 32.</summary>
    internal static void DeriveMessageKeys(ReadOnlySpan<byte> conversationKey, ReadOnlySpan<byte> nonce, Span<byte> keys) =>
        HkdfSha256.ExpandShort(conversationKey, nonce, keys);

    /// <summary>NIP-44, calc_padded_len: at least 32, then eighths of the next power of two, in steps of at least 32.</summary>
    internal static long GetPaddedLength(long unpadded)
    {
        if (unpadded <= 32)
        {
            return 32;
        }

        long power = (long)BitOperations.RoundUpToPowerOf2((ulong)unpadded);
        long chunk = power <= 256 ? 32 : power / 8;
        return (unpadded + chunk - 1) / chunk * chunk;
    }

    private static int PrefixSize(int plaintextLength) => plaintextLength <= MaxShortPlaintext ? ShortPrefixSize : LongPrefixSize;

    private static bool TryUnpad(ReadOnlySpan<byte> padded, out ReadOnlySpan<byte> plaintext)
    {
        plaintext = default;
        int prefix = ShortPrefixSize;
        long length = BinaryPrimitives.ReadUInt16BigEndian(padded);
        if (length == 0)
        {
            // Extended prefix: 00 00, then u32; a length the short form can hold is invalid, zero included.
            prefix = LongPrefixSize;
            length = BinaryPrimitives.ReadUInt32BigEndian(padded[sizeof(ushort)..]);
            if (length <= MaxShortPlaintext)
            {
                return false;
            }
        }

        if (padded.Length != prefix + GetPaddedLength(length))
        {
            return false;
        }

        plaintext = padded.Slice(prefix, (int)length);
        return true;
    }
}
