using System.Security.Cryptography;
using Marmot.Platform.Native;
using NSec.Cryptography;

namespace Marmot.Platform.Tests.Native;

/// <summary>The binding of libsodium against NSec, which calls the same library by its own declarations, and against the base class library: a wrong length,
/// order or type in ours shows.</summary>
public class SodiumDifferentialTests
{
    private const int Rounds = 200;
    private static KeyCreationParameters Exportable => new() { ExportPolicy = KeyExportPolicies.AllowPlaintextExport };
    private static SharedSecretCreationParameters ExportableSecret => new() { ExportPolicy = KeyExportPolicies.AllowPlaintextExport };

    [Fact]
    [Trait("Spec", "RFC 8032")]
    public void Ed25519_keys_and_signatures_are_those_of_NSec()
    {
        for (var round = 0; round < Rounds; round++)
        {
            var seed = Bytes("ed25519", round, 32);
            var message = RandomNumberGenerator.GetBytes(round * 3);
            using var theirs = Key.Import(SignatureAlgorithm.Ed25519, seed, KeyBlobFormat.RawPrivateKey, Exportable);
            byte[] publicKey = new byte[32], prepared = new byte[64], signature = new byte[64];
            Assert.True(Sodium.TryEd25519FromSeed(seed, publicKey, prepared));
            Assert.Equal(theirs.PublicKey.Export(KeyBlobFormat.RawPublicKey), publicKey);
            Sodium.Ed25519Sign(prepared, message, signature);
            Assert.Equal(SignatureAlgorithm.Ed25519.Sign(theirs, message), signature);
            Assert.True(Sodium.Ed25519Verify(publicKey, message, signature));
            signature[round % 64] ^= (byte)(1 << (round % 8));
            Assert.False(Sodium.Ed25519Verify(publicKey, message, signature));
            Assert.False(SignatureAlgorithm.Ed25519.Verify(theirs.PublicKey, message, signature));
        }
    }

    [Fact]
    [Trait("Spec", "RFC 7748")]
    public void X25519_keys_and_shared_secrets_are_those_of_NSec()
    {
        for (var round = 0; round < Rounds; round++)
        {
            byte[] secret = Bytes("x25519", round, 32), publicKey = new byte[32], shared = new byte[32];
            using var theirs = Key.Import(KeyAgreementAlgorithm.X25519, secret, KeyBlobFormat.RawPrivateKey, Exportable);
            using var peer = Key.Create(KeyAgreementAlgorithm.X25519);
            Assert.True(Sodium.TryX25519PublicKey(secret, publicKey));
            Assert.Equal(theirs.PublicKey.Export(KeyBlobFormat.RawPublicKey), publicKey);
            Assert.True(Sodium.TryX25519(secret, peer.PublicKey.Export(KeyBlobFormat.RawPublicKey), shared));
            using var agreed = KeyAgreementAlgorithm.X25519.Agree(theirs, peer.PublicKey, ExportableSecret);
            Assert.Equal(agreed!.Export(SharedSecretBlobFormat.RawSharedSecret), shared);
        }
    }

    /// <summary>The points whose order divides 8, in both forms that 255 bits allow: their shared secret is zero whatever the key (RFC 7748, 6.1).</summary>
    [Theory]
    [Trait("Spec", "RFC 7748")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("0100000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")]
    [InlineData("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")]
    [InlineData("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    [InlineData("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    [InlineData("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
    public void Points_of_low_order_give_no_shared_secret_in_either(string point)
    {
        var secret = Bytes("low order", 0, 32);
        Assert.False(Sodium.TryX25519(secret, Convert.FromHexString(point), new byte[32]));
        using var theirs = Key.Import(KeyAgreementAlgorithm.X25519, secret, KeyBlobFormat.RawPrivateKey);
        Assert.True(!PublicKey.TryImport(KeyAgreementAlgorithm.X25519, Convert.FromHexString(point), KeyBlobFormat.RawPublicKey, out var key)
            || KeyAgreementAlgorithm.X25519.Agree(theirs, key!) is null);
    }

    [Fact]
    [Trait("Spec", "RFC 8439")]
    public void The_aead_writes_what_NSec_writes_and_refuses_what_was_changed()
    {
        for (var round = 0; round < Rounds; round++)
        {
            byte[] key = Bytes("aead", round, 32), nonce = RandomNumberGenerator.GetBytes(12), data = RandomNumberGenerator.GetBytes(round % 40),
                text = RandomNumberGenerator.GetBytes(round * 7);
            using var theirs = Key.Import(AeadAlgorithm.ChaCha20Poly1305, key, KeyBlobFormat.RawSymmetricKey);
            var ours = new byte[text.Length + Sodium.TagSize];
            Sodium.ChaCha20Poly1305Encrypt(key, nonce, data, text, ours);
            Assert.Equal(AeadAlgorithm.ChaCha20Poly1305.Encrypt(theirs, nonce, data, text), ours);
            var opened = new byte[text.Length];
            Assert.True(Sodium.ChaCha20Poly1305Decrypt(key, nonce, data, ours, opened));
            Assert.Equal(text, opened);
            ours[round % ours.Length] ^= 1;
            Assert.False(Sodium.ChaCha20Poly1305Decrypt(key, nonce, data, ours, opened));
            Assert.Null(AeadAlgorithm.ChaCha20Poly1305.Decrypt(theirs, nonce, data, ours));
        }
    }

    [Fact]
    [Trait("Spec", "RFC 2104")]
    public void Hmac_is_that_of_the_base_class_library_and_of_NSec()
    {
        for (var round = 0; round < Rounds; round++)
        {
            byte[] key = RandomNumberGenerator.GetBytes(round), message = RandomNumberGenerator.GetBytes(round * 5 % 311), mac = new byte[32];
            Sodium.HmacSha256(key, message, mac);
            Assert.Equal(HMACSHA256.HashData(key, message), mac);
            if (round == 32) // NSec takes keys of one size
            {
                using var theirs = Key.Import(MacAlgorithm.HmacSha256, key, KeyBlobFormat.RawSymmetricKey);
                Assert.Equal(MacAlgorithm.HmacSha256.Mac(theirs, message), mac);
            }
        }
    }

    [Fact]
    [Trait("Spec", "RFC 9106")]
    public void Argon2id_is_that_of_NSec()
    {
        const int memoryKiB = 8 * 1024;
        var salt = Bytes("salt", 0, PasswordHash.SaltSize);
        var theirs = PasswordBasedKeyDerivationAlgorithm.Argon2id(new Argon2Parameters { DegreeOfParallelism = 1, MemorySize = memoryKiB, NumberOfPasses = 3 });
        Assert.Equal(theirs.DeriveBytes("correct horse"u8, salt, PasswordHash.KeySize), PasswordHash.DeriveKey("correct horse"u8, salt, 3, memoryKiB * 1024));
    }

    private static byte[] Bytes(string label, int round, int length) => SHA256.HashData(System.Text.Encoding.UTF8.GetBytes($"{label} {round}"))[..length];
}
