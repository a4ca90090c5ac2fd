using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Encryption;

/// <summary>official/nip44.vectors.json and nip44-extra.json, every case.</summary>
[Trait("Spec", "NIP-44")]
public class Nip44VectorTests
{
    private static readonly JsonElement Official = VectorFile.Read("official/nip44.vectors.json").GetProperty("v2");
    private static readonly JsonElement Valid = Official.GetProperty("valid");
    private static readonly JsonElement Invalid = Official.GetProperty("invalid");
    private static readonly JsonElement Extra = VectorFile.Read("nip44-extra.json");

    [Fact]
    public void Derives_the_published_conversation_keys() => Each(Valid.GetProperty("get_conversation_key"), 35, vector =>
    {
        Assert.True(SecretKey.TryCreate(vector.Bytes("sec1"), out var secret));
        using (secret)
        {
            Assert.True(ConversationKey.TryDerive(secret, Bytes32.ParseHex(vector.Text("pub2")), out var key));
            using (key)
            {
                Assert.Equal(vector.Text("conversation_key"), Convert.ToHexStringLower(key.Span));
            }
        }
    });

    [Fact]
    public void Refuses_the_published_bad_keys() => Each(Invalid.GetProperty("get_conversation_key"), 8, vector =>
    {
        if (SecretKey.TryCreate(vector.Bytes("sec1"), out var secret))
        {
            using (secret)
            {
                Assert.False(ConversationKey.TryDerive(secret, Bytes32.ParseHex(vector.Text("pub2")), out _));
            }
        }
    });

    [Fact]
    public void Derives_the_published_message_keys()
    {
        var group = Valid.GetProperty("get_message_keys");
        byte[] conversation = group.Bytes("conversation_key");
        Each(group.GetProperty("keys"), 32, vector =>
        {
            byte[] keys = new byte[76];
            Nip44.DeriveMessageKeys(conversation, vector.Bytes("nonce"), keys);
            Assert.Equal(vector.Text("chacha_key") + vector.Text("chacha_nonce") + vector.Text("hmac_key"), Convert.ToHexStringLower(keys));
        });
    }

    [Fact]
    public void Pads_to_the_published_lengths()
    {
        Each(Valid.GetProperty("calc_padded_len"), 24, pair => Assert.Equal(pair[1].GetInt64(), Nip44.GetPaddedLength(pair[0].GetInt64())));
        Each(Extra.GetProperty("padded_len"), 38, pair => Assert.Equal(pair[1].GetInt64(), Nip44.GetPaddedLength(pair[0].GetInt64())));
    }

    [Fact]
    public void Encrypts_and_decrypts_the_published_messages() => Each(Valid.GetProperty("encrypt_decrypt"), 10, vector =>
    {
        Assert.True(SecretKey.TryCreate(vector.Bytes("sec1"), out var one));
        Assert.True(SecretKey.TryCreate(vector.Bytes("sec2"), out var two));
        using (one)
        using (two)
        {
            byte[] key = new byte[32];
            Assert.True(Nip44.TryDeriveConversationKey(one, two.PublicKey, key));
            Assert.Equal(vector.Bytes("conversation_key"), key);
            Roundtrip(key, vector.Bytes("nonce"), System.Text.Encoding.UTF8.GetBytes(vector.Text("plaintext")), vector.Text("payload"));
        }
    });

    [Fact]
    public void Encrypts_and_decrypts_the_published_long_messages() => Each(Valid.GetProperty("encrypt_decrypt_long_msg"), 3, vector =>
    {
        string pattern = vector.Text("pattern");
        byte[] plaintext = System.Text.Encoding.UTF8.GetBytes(
            new StringBuilder().Insert(0, pattern, vector.GetProperty("repeat").GetInt32()).ToString());
        Assert.Equal(vector.Text("plaintext_sha256"), Convert.ToHexStringLower(SHA256.HashData(plaintext)));
        Assert.Equal(vector.Text("payload_sha256"), Hash(Roundtrip(vector.Bytes("conversation_key"), vector.Bytes("nonce"), plaintext)));
    });

    [Fact]
    public void Follows_the_extended_prefix_of_june_2026()
    {
        byte[] key = Extra.Bytes("conversation_key");
        byte[] nonce = Extra.Bytes("nonce");
        Each(Extra.GetProperty("extended_prefix"), 3, vector =>
        {
            int length = vector.GetProperty("plaintext_len").GetInt32();
            byte[] plaintext = new byte[length];
            plaintext.AsSpan().Fill((byte)'a');
            Assert.Equal(vector.GetProperty("padded_len").GetInt64(), Nip44.GetPaddedLength(length));
            Assert.Equal(vector.GetProperty("payload_base64_len").GetInt32(), Nip44.GetPayloadLength(length));
            Assert.Equal(vector.Text("payload_sha256"), Hash(Roundtrip(key, nonce, plaintext)));
        });
        var binary = Extra.GetProperty("binary_plaintext");
        Roundtrip(key, nonce, binary.Bytes("plaintext_hex"), binary.Text("payload"));
    }

    [Fact]
    public void Encrypts_the_lengths_that_were_invalid_before_june_2026_and_refuses_zero() =>
        Each(Invalid.GetProperty("encrypt_msg_lengths"), 4, vector =>
        {
            int length = vector.GetInt32();
            if (length == 0)
            {
                Assert.Throws<ArgumentOutOfRangeException>(() => Nip44.GetPayloadLength(length));
                return;
            }

            Roundtrip(new byte[32], new byte[32], new byte[length]);
        });

    [Fact]
    public void Refuses_the_published_bad_payloads() => Each(Invalid.GetProperty("decrypt"), 12, vector =>
        Assert.False(TryDecrypt(vector.Bytes("conversation_key"), System.Text.Encoding.UTF8.GetBytes(vector.Text("payload")), out _)));

    [Fact]
    public void Refuses_the_extra_bad_payloads() => Each(Extra.GetProperty("invalid"), 8, vector =>
        Assert.False(TryDecrypt(Extra.Bytes("conversation_key"), System.Text.Encoding.UTF8.GetBytes(vector.Text("payload")), out _), vector.Text("name")));

    private static void Roundtrip(byte[] key, byte[] nonce, byte[] plaintext, string payload) =>
        Assert.Equal(payload, System.Text.Encoding.ASCII.GetString(Roundtrip(key, nonce, plaintext)));

    private static byte[] Roundtrip(byte[] key, byte[] nonce, byte[] plaintext)
    {
        byte[] payload = new byte[Nip44.GetPayloadLength(plaintext.Length)];
        Nip44.Encrypt(key, nonce, plaintext, payload);
        Assert.True(TryDecrypt(key, payload, out byte[] decrypted));
        Assert.True(plaintext.AsSpan().SequenceEqual(decrypted));
        return payload;
    }

    private static bool TryDecrypt(byte[] key, byte[] payload, out byte[] plaintext)
    {
        byte[] buffer = new byte[Nip44.GetDecryptBufferSize(payload.Length) + 3];
        bool decrypted = Nip44.TryDecrypt(key, payload, buffer, out var bytes, int.MaxValue);
        plaintext = bytes.ToArray();
        return decrypted;
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    // The count is part of the test: a file read half would pass silently.
    private static void Each(JsonElement vectors, int count, Action<JsonElement> check)
    {
        Assert.Equal(count, vectors.GetArrayLength());
        foreach (var vector in vectors.EnumerateArray())
        {
            check(vector);
        }
    }
}
