using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Encryption;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Push;

[Trait("Spec", "MIP-05")]
public class EncryptedTokenTests
{
    public static TheoryData<TokenDialect> Dialects => [TokenDialect.Mip05Short, TokenDialect.Mip05Long, TokenDialect.MarmotPushV1];

    [Theory]
    [MemberData(nameof(Dialects))]
    [Trait("Spec", "marmot-push-v1")]
    public void Case_23_a_shared_x_of_zeros_gives_no_key(TokenDialect dialect)
    {
        byte[] key = new byte[32];
        Assert.False(EncryptedToken.TryDeriveKey(dialect, new byte[32], key));
        Assert.All(key, b => Assert.Equal(0, b));
        Assert.True(EncryptedToken.TryDeriveKey(dialect, [.. new byte[31], 1], key));
    }

    [Theory]
    [InlineData("mip05-280", TokenDialect.Mip05Short, 15)]
    [InlineData("mip05-1084", TokenDialect.Mip05Long, 14)]
    [InlineData("marmot-push-v1", TokenDialect.MarmotPushV1, 14)]
    public void Decides_every_published_token(string variant, TokenDialect dialect, int count)
    {
        var cases = VectorFile.Read("push-tokens.json").GetProperty("variants").GetProperty(variant).GetProperty("cases");
        Assert.Equal(count, cases.GetArrayLength());
        using var fallback = ServerKey();
        foreach (var vector in cases.EnumerateArray())
        {
            string name = vector.Text("name");

            // "fits" is a 217-byte FCM token: within the 220 bytes, above the 200 that the March text writes. It is read. So is an APNs token of 31 bytes,
            // which the text of January refuses: Apple says that tokens are of variable length.
            bool valid = vector.Text("expect").StartsWith("ok", StringComparison.Ordinal) || name is "fcm-217-max" or "apns-31-bytes";
            byte[] scratch = new byte[dialect.PlaintextSize];
            bool opened = EncryptedToken.TryDecrypt(vector.Bytes("encrypted_token"), dialect, fallback, scratch, out var token);
            Assert.True(valid == opened, name);
            if (!valid)
            {
                Assert.All(scratch, b => Assert.Equal(0, b));
                continue;
            }

            Assert.Equal(vector.GetProperty("platform_byte").GetInt32(), (int)token.Platform);
            Assert.Equal(vector.Text("device_token"), Convert.ToHexStringLower(token.Value));
            Assert.Equal(vector.Text("plaintext"), Convert.ToHexStringLower(scratch));
            Encrypts_the_same_bytes(vector, dialect);
        }
    }

    [Fact]
    public void Derives_the_published_key()
    {
        var known = VectorFile.Read("push-tokens.json").GetProperty("known_answer");
        byte[] key = new byte[32];
        HkdfSha256.DeriveKey(known.Bytes("shared_x"), TokenDialect.MarmotPushV1.Salt, TokenDialect.MarmotPushV1.KeyLabel, key);
        Assert.Equal(known.Bytes("key"), key);
    }

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Returns_the_token_that_was_encrypted_at_every_length(TokenDialect dialect)
    {
        using var server = SecretKey.Generate();
        byte[] chunk = new byte[dialect.TokenSize];
        byte[] scratch = new byte[dialect.PlaintextSize];
        for (int length = 0; length <= dialect.PlaintextSize; length += length < 40 ? 1 : 97)
        {
            foreach (var platform in new[] { DevicePlatform.Apns, DevicePlatform.Fcm })
            {
                byte[] device = RandomNumberGenerator.GetBytes(length);
                if (!EncryptedToken.CanEncrypt(dialect, platform, length))
                {
                    Assert.Throws<ArgumentException>(() => EncryptedToken.TryCreate(dialect, platform, device, server.PublicKey, chunk));
                    continue;
                }

                Assert.True(EncryptedToken.TryCreate(dialect, platform, device, server.PublicKey, chunk));
                Assert.True(EncryptedToken.TryDecrypt(chunk, dialect, server, scratch, out var token));
                Assert.Equal(platform, token.Platform);
                Assert.Equal(device, token.Value.ToArray());
            }
        }
    }

    [Fact]
    public void Writes_the_longest_and_shortest_tokens_of_each_dialect()
    {
        Assert.True(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Apns, 32));
        Assert.True(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Apns, 31)); // Apple: do not hard-code their size
        Assert.True(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Apns, 217));
        Assert.False(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Apns, 218));
        Assert.True(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Fcm, 200));
        Assert.False(EncryptedToken.CanEncrypt(TokenDialect.Mip05Short, DevicePlatform.Fcm, 201));
        Assert.True(EncryptedToken.CanEncrypt(TokenDialect.Mip05Long, DevicePlatform.Apns, 1021));
        Assert.False(EncryptedToken.CanEncrypt(TokenDialect.MarmotPushV1, DevicePlatform.Fcm, 1022));
        Assert.False(EncryptedToken.CanEncrypt(TokenDialect.MarmotPushV1, (DevicePlatform)3, 32));
        Assert.Equal([280, 1084, 1084], [TokenDialect.Mip05Short.TokenSize, TokenDialect.Mip05Long.TokenSize, TokenDialect.MarmotPushV1.TokenSize]);
        Assert.Equal([220, 1024, 1024], [TokenDialect.Mip05Short.PlaintextSize, TokenDialect.Mip05Long.PlaintextSize, TokenDialect.MarmotPushV1.PlaintextSize]);
    }

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Refuses_every_truncation_every_flipped_byte_and_every_other_dialect(TokenDialect dialect)
    {
        using var server = SecretKey.Generate();
        byte[] chunk = new byte[dialect.TokenSize + 1];
        Assert.True(EncryptedToken.TryCreate(dialect, DevicePlatform.Apns, new byte[32], server.PublicKey, chunk.AsSpan(0, dialect.TokenSize)));
        byte[] scratch = new byte[TokenDialects.LongPlaintextSize];
        for (int length = 0; length <= chunk.Length; length++)
        {
            Assert.Equal(length == dialect.TokenSize, EncryptedToken.TryDecrypt(chunk.AsSpan(0, length), dialect, server, scratch, out _));
        }

        // The key and nonce bytes one by one, the ciphertext with steps.
        var exact = chunk.AsSpan(0, dialect.TokenSize);
        for (int i = 0; i < exact.Length; i += i < 60 ? 1 : 13)
        {
            exact[i] ^= 1;
            Assert.False(EncryptedToken.TryDecrypt(exact, dialect, server, scratch, out _));
            exact[i] ^= 1;
        }

        foreach (TokenDialect other in Dialects)
        {
            // The two MIP-05 forms share salt and info, but not the length.
            Assert.Equal(other == dialect, EncryptedToken.TryDecrypt(exact, other, server, scratch, out _));
        }
    }

    [Fact]
    public void Two_ciphertexts_of_one_token_share_nothing()
    {
        using var server = SecretKey.Generate();
        byte[] one = new byte[280];
        byte[] two = new byte[280];
        Assert.True(EncryptedToken.TryCreate(TokenDialect.Mip05Short, DevicePlatform.Apns, new byte[32], server.PublicKey, one));
        Assert.True(EncryptedToken.TryCreate(TokenDialect.Mip05Short, DevicePlatform.Apns, new byte[32], server.PublicKey, two));
        Assert.NotEqual(one[..32], two[..32]);
        Assert.NotEqual(one[32..44], two[32..44]);
        byte[] first = new byte[220];
        byte[] second = new byte[220];
        Assert.True(EncryptedToken.TryDecrypt(one, TokenDialect.Mip05Short, server, first, out _));
        Assert.True(EncryptedToken.TryDecrypt(two, TokenDialect.Mip05Short, server, second, out _));
        Assert.NotEqual(first[35..], second[35..]); // padding is random, not zero
    }

    [Fact]
    public void Refuses_to_encrypt_to_a_key_off_the_curve()
    {
        byte[] destination = new byte[280];
        Assert.False(EncryptedToken.TryCreate(TokenDialect.Mip05Short, DevicePlatform.Apns, new byte[32], default, destination));
    }

    [Fact]
    public void Prints_the_platform_only()
    {
        var token = new DeviceToken(DevicePlatform.Fcm, "registration"u8);
        Assert.Equal("Fcm", token.ToString());
    }

    [Fact]
    public void Decrypts_without_allocation()
    {
        using var server = SecretKey.Generate();
        byte[] chunk = new byte[1084];
        Assert.True(EncryptedToken.TryCreate(TokenDialect.MarmotPushV1, DevicePlatform.Fcm, "token"u8, server.PublicKey, chunk));
        byte[] scratch = new byte[1024];
        Assert.True(EncryptedToken.TryDecrypt(chunk, TokenDialect.MarmotPushV1, server, scratch, out _));
        Assert.Equal(0, Allocation.Of(() => EncryptedToken.TryDecrypt(chunk, TokenDialect.MarmotPushV1, server, scratch, out _)));
    }

    private static void Encrypts_the_same_bytes(JsonElement vector, TokenDialect dialect)
    {
        Assert.True(SecretKey.TryCreate(vector.Bytes("ephemeral_secret_key"), out var ephemeral));
        using (ephemeral)
        {
            byte[] key = new byte[32];
            byte[] chunk = new byte[dialect.TokenSize];
            var server = Bytes32.ParseHex(vector.Text("server_pubkey"));
            Assert.True(EncryptedToken.TryDeriveKey(dialect, ephemeral, server, key));
            Assert.Equal(vector.Bytes("key"), key);
            Assert.True(EncryptedToken.TryEncrypt(dialect, vector.Bytes("plaintext"), server, ephemeral, vector.Bytes("nonce"), chunk));
            Assert.Equal(vector.Text("encrypted_token"), Convert.ToHexStringLower(chunk));
            Assert.Equal(vector.Text("encrypted_token_base64"), Convert.ToBase64String(chunk));
        }
    }

    private static SecretKey ServerKey()
    {
        byte[] bytes = new byte[32];
        bytes.AsSpan().Fill(0x11);
        Assert.True(SecretKey.TryCreate(bytes, out var key));
        return key;
    }
}
