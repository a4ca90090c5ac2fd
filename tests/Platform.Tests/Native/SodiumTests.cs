using Marmot.Platform.Native;

namespace Marmot.Platform.Tests.Native;

public class SodiumTests
{
    private static readonly byte[] Key = Convert.FromHexString("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    private static readonly byte[] Nonce = Convert.FromHexString("070000004041424344454647");
    private static readonly byte[] AssociatedData = Convert.FromHexString("50515253c0c1c2c3c4c5c6c7");
    private static readonly byte[] Plaintext = System.Text.Encoding.ASCII.GetBytes(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.");

    [Fact]
    [Trait("Spec", "RFC 8439, 2.8.2")]
    public void The_aead_gives_the_vector_s_tag_and_reads_its_own_output()
    {
        byte[] sealedBytes = new byte[Plaintext.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(Key, Nonce, AssociatedData, Plaintext, sealedBytes);
        Assert.Equal("1ae10b594f09e26a7e902ecbd0600691", Convert.ToHexStringLower(sealedBytes.AsSpan(Plaintext.Length)));
        byte[] opened = new byte[Plaintext.Length];
        Assert.True(Sodium.ChaCha20Poly1305Decrypt(Key, Nonce, AssociatedData, sealedBytes, opened));
        Assert.Equal(Plaintext, opened);
    }

    [Fact]
    public void A_changed_byte_is_refused_and_leaves_zeros()
    {
        byte[] sealedBytes = new byte[Plaintext.Length + Sodium.TagSize];
        Sodium.ChaCha20Poly1305Encrypt(Key, Nonce, AssociatedData, Plaintext, sealedBytes);
        sealedBytes[3] ^= 1;
        byte[] opened = [.. Enumerable.Repeat((byte)7, Plaintext.Length)];
        Assert.False(Sodium.ChaCha20Poly1305Decrypt(Key, Nonce, AssociatedData, sealedBytes, opened));
        Assert.All(opened, b => Assert.Equal(0, b));
        Assert.False(Sodium.ChaCha20Poly1305Decrypt(Key, Nonce, AssociatedData, sealedBytes.AsSpan(0, 15), []));
    }

    [Fact]
    [Trait("Spec", "RFC 8439, 2.4")]
    public void The_bare_cipher_is_its_own_inverse_and_starts_at_block_zero()
    {
        byte[] stream = new byte[64];
        Sodium.ChaCha20Xor(new byte[32], new byte[12], new byte[64], stream);
        // RFC 8439, appendix A.1, test vector 1: key, nonce and counter all zero.
        Assert.StartsWith("76b8e0ada0f13d90405d6ae55386bd28", Convert.ToHexStringLower(stream), StringComparison.Ordinal);
        Sodium.ChaCha20Xor(new byte[32], new byte[12], stream, stream);
        Assert.All(stream, b => Assert.Equal(0, b));
    }

    [Theory]
    [InlineData(31, 12)]
    [InlineData(32, 11)]
    public void Wrong_lengths_are_named(int keySize, int nonceSize) =>
        Assert.Throws<ArgumentException>(() => Sodium.ChaCha20Xor(new byte[keySize], new byte[nonceSize], new byte[1], new byte[1]));
}
