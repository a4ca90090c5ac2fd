using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Tests.Encryption;

[Trait("Spec", "NIP-44")]
public class Nip44Tests
{
    private static readonly byte[] Key = Convert.FromHexString("c41c775356fd92eadc63ff5a0dc1da211b268cbea22316767095b2871ea1412d");

    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(33)]
    [InlineData(1000)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    [InlineData(65_537)]
    [InlineData(200_000)]
    public void Returns_what_was_encrypted(int length)
    {
        byte[] plaintext = RandomNumberGenerator.GetBytes(length);
        byte[] payload = Encrypt(plaintext);
        Assert.Equal(plaintext, Decrypt(payload));
    }

    [Fact]
    public void Returns_what_was_encrypted_at_every_short_length()
    {
        for (int length = 1; length <= 600; length++)
        {
            byte[] plaintext = RandomNumberGenerator.GetBytes(length);
            Assert.Equal(plaintext, Decrypt(Encrypt(plaintext)));
        }
    }

    [Fact]
    public void Never_repeats_a_nonce()
    {
        var seen = new HashSet<string>();
        for (int i = 0; i < 200; i++)
        {
            Assert.True(seen.Add(Convert.ToHexString(Convert.FromBase64String(System.Text.Encoding.ASCII.GetString(Encrypt("a"u8.ToArray()))).AsSpan(1, 32))));
        }
    }

    [Fact]
    public void Both_sides_derive_the_same_key_and_strangers_another()
    {
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        using var eve = SecretKey.Generate();
        Assert.True(ConversationKey.TryDerive(alice, bob.PublicKey, out var a));
        Assert.True(ConversationKey.TryDerive(bob, alice.PublicKey, out var b));
        Assert.True(ConversationKey.TryDerive(eve, bob.PublicKey, out var e));
        using (a)
        using (b)
        using (e)
        {
            string payload = Nip44.Encrypt(a, "Grüße 🦄");
            Assert.True(Nip44.TryDecrypt(b, payload, out string? text));
            Assert.Equal("Grüße 🦄", text);
            Assert.False(Nip44.TryDecrypt(e, payload, out _));
        }
    }

    [Fact]
    public void Refuses_every_single_bit_flip()
    {
        byte[] raw = Convert.FromBase64String(System.Text.Encoding.ASCII.GetString(Encrypt("attack at dawn"u8.ToArray())));
        for (int bit = 0; bit < raw.Length * 8; bit++)
        {
            raw[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(Decrypt(Base64(raw)));
            raw[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.NotNull(Decrypt(Base64(raw)));
    }

    [Fact]
    public void Refuses_every_truncation_of_the_text_and_of_the_bytes()
    {
        byte[] payload = Encrypt(RandomNumberGenerator.GetBytes(100));
        for (int length = 0; length < payload.Length; length++)
        {
            Assert.Null(Decrypt(payload[..length]));
            Assert.Null(Decrypt(payload[^length..]));
        }

        byte[] raw = Convert.FromBase64String(System.Text.Encoding.ASCII.GetString(payload));
        for (int length = 0; length < raw.Length; length++)
        {
            Assert.Null(Decrypt(Base64(raw[..length])));
        }
    }

    [Fact]
    public void Reads_only_the_prefix_and_padding_that_a_writer_makes()
    {
        // Every prefix value in a genuine 32-byte bucket: exactly 1..32 fit it.
        for (int claimed = 0; claimed <= ushort.MaxValue; claimed += claimed < 300 ? 1 : 257)
        {
            byte[] padded = new byte[2 + 32];
            BinaryPrimitives.WriteUInt16BigEndian(padded, (ushort)claimed);
            Assert.Equal(claimed is >= 1 and <= 32, Decrypt(Seal(padded)) is not null);
        }
    }

    [Theory]
    [InlineData(65_535u, false)] // fits the short form
    [InlineData(65_536u, true)]
    [InlineData(65_537u, false)] // belongs in the next bucket
    [InlineData(0u, false)]
    [InlineData(uint.MaxValue, false)]
    [InlineData(0x8000_0000u, false)]
    public void Reads_the_extended_prefix_only_above_the_short_one(uint claimed, bool valid)
    {
        byte[] padded = new byte[6 + 65_536];
        BinaryPrimitives.WriteUInt32BigEndian(padded.AsSpan(2), claimed);
        Assert.Equal(valid, Decrypt(Seal(padded)) is not null);
    }

    [Fact]
    public void Writes_the_extended_prefix_only_above_65535_bytes()
    {
        Assert.Equal(Nip44.GetPayloadLength(65_535) + 4, Nip44.GetPayloadLength(65_536)); // 65 + 2 + 65,536 against 65 + 6 + 65,536 bytes
        Assert.Equal(87_472, Nip44.GetPayloadLength(65_535));
    }

    [Fact]
    public void Padding_hides_the_length_and_never_shrinks()
    {
        long previous = 0;
        for (long length = 1; length < 300_000; length++)
        {
            long padded = Nip44.GetPaddedLength(length);
            Assert.True(padded >= length && padded >= previous && padded % 32 == 0);
            Assert.True(length <= 256 ? padded - length < 32 : padded - length < length / 4);
            previous = padded;
        }

        Assert.Equal(1L << 32, Nip44.GetPaddedLength((1L << 32) - 1)); // no 32-bit overflow
    }

    [Fact]
    public void Refuses_an_empty_plaintext() => Assert.Throws<ArgumentOutOfRangeException>(() => Nip44.GetPayloadLength(0));

    [Fact]
    public void Refuses_a_payload_above_the_bound_before_decoding_it()
    {
        byte[] payload = Encrypt(new byte[100]);
        byte[] buffer = new byte[payload.Length];
        Assert.False(Nip44.TryDecrypt(Key, payload, buffer, out _, maxPayloadLength: payload.Length - 1));
        Assert.All(buffer, b => Assert.Equal(0, b));
        Assert.True(Nip44.TryDecrypt(Key, payload, buffer, out _, maxPayloadLength: payload.Length));
    }

    [Fact]
    public void Leaves_no_plaintext_behind_when_the_padding_is_wrong()
    {
        byte[] padded = new byte[2 + 64];
        padded.AsSpan().Fill(0xAB);
        padded[0] = 0;
        padded[1] = 5;
        byte[] buffer = new byte[200];
        Assert.False(Nip44.TryDecrypt(Key, Seal(padded), buffer, out _));
        Assert.DoesNotContain("ABABABAB", Convert.ToHexString(buffer), StringComparison.Ordinal);
        Assert.All(buffer[33..(33 + padded.Length)], b => Assert.Equal(0, b));
    }

    [Fact]
    public void Refuses_plaintext_that_is_not_text_in_the_text_form()
    {
        using var alice = SecretKey.Generate();
        Assert.True(ConversationKey.TryDerive(alice, alice.PublicKey, out var key));
        using (key)
        {
            byte[] payload = new byte[Nip44.GetPayloadLength(2)];
            Nip44.Encrypt(key.Span, [0xFF, 0xFE], payload);
            Assert.False(Nip44.TryDecrypt(key, System.Text.Encoding.ASCII.GetString(payload), out _));
            Assert.False(Nip44.TryDecrypt(key, new string('é', 200), out _));
        }
    }

    [Fact]
    public void A_disposed_key_is_gone_and_prints_nothing()
    {
        using var alice = SecretKey.Generate();
        Assert.True(ConversationKey.TryDerive(alice, alice.PublicKey, out var key));
        string hex = Convert.ToHexStringLower(key.Span);
        Assert.DoesNotContain(hex, key.ToString(), StringComparison.OrdinalIgnoreCase);
        key.Dispose();
        Assert.Throws<ObjectDisposedException>(() => key.Span.Length);
        key.Dispose();
    }

    [Fact]
    public void Derives_and_decrypts_without_allocation()
    {
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        byte[] key = new byte[32];
        Assert.True(Nip44.TryDeriveConversationKey(alice, bob.PublicKey, key));
        byte[] payload = new byte[Nip44.GetPayloadLength(1000)];
        Nip44.Encrypt(key, new byte[1000], payload);
        byte[] buffer = new byte[Nip44.GetDecryptBufferSize(payload.Length)];
        Assert.True(Nip44.TryDecrypt(key, payload, buffer, out _));

        var peer = bob.PublicKey;
        Assert.Equal(0, Allocation.Of(() =>
        {
            Nip44.TryDeriveConversationKey(alice, peer, key);
            Nip44.TryDecrypt(key, payload, buffer, out _);
        }));
    }

    private static byte[] Encrypt(byte[] plaintext)
    {
        byte[] payload = new byte[Nip44.GetPayloadLength(plaintext.Length)];
        Nip44.Encrypt(Key, plaintext, payload);
        return payload;
    }

    private static byte[]? Decrypt(byte[] payload)
    {
        byte[] buffer = new byte[Nip44.GetDecryptBufferSize(payload.Length)];
        return Nip44.TryDecrypt(Key, payload, buffer, out var plaintext) ? plaintext.ToArray() : null;
    }

    // A genuine payload around any padded bytes, as only a hostile writer makes it.
    private static byte[] Seal(byte[] padded)
    {
        byte[] raw = new byte[65 + padded.Length];
        raw[0] = 2;
        RandomNumberGenerator.Fill(raw.AsSpan(1, 32));
        byte[] keys = new byte[76];
        Nip44.DeriveMessageKeys(Key, raw.AsSpan(1, 32), keys);
        Sodium.ChaCha20Xor(keys.AsSpan(0, 32), keys.AsSpan(32, 12), padded, raw.AsSpan(33, padded.Length));
        HMACSHA256.HashData(keys.AsSpan(44), raw.AsSpan(1..^32), raw.AsSpan(raw.Length - 32));
        return Base64(raw);
    }

    private static byte[] Base64(byte[] raw) => System.Text.Encoding.ASCII.GetBytes(Convert.ToBase64String(raw));
}
