using System.Security.Cryptography;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Tests.Native;

public class SecretKeyTests
{
    [Fact]
    [Trait("Spec", "BIP-340")]
    public void A_signature_verifies_and_any_flipped_bit_does_not()
    {
        using var key = SecretKey.Generate();
        byte[] message = RandomNumberGenerator.GetBytes(32);
        byte[] signature = new byte[Secp256k1.SignatureSize];
        key.Sign(message, signature);
        Assert.True(Secp256k1.VerifySchnorr(signature, message, key.PublicKey.Span));
        for (int bit = 0; bit < signature.Length * 8; bit += 13)
        {
            signature[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(Secp256k1.VerifySchnorr(signature, message, key.PublicKey.Span));
            signature[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    [Trait("Spec", "BIP-340")]
    public void The_public_key_of_secret_three_is_the_vector_s()
    {
        byte[] three = new byte[32];
        three[31] = 3;
        Assert.True(SecretKey.TryCreate(three, out var key));
        using (key)
        {
            Assert.Equal("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9", key.PublicKey.ToString());
        }
    }

    [Fact]
    public void Zero_and_the_group_order_are_not_keys()
    {
        Assert.False(SecretKey.TryCreate(new byte[32], out _));
        Assert.False(SecretKey.TryCreate(Convert.FromHexString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"), out _));
        Assert.False(SecretKey.TryCreate(new byte[31], out _));
    }

    [Fact]
    [Trait("Spec", "NIP-44")]
    public void Both_sides_derive_the_same_x()
    {
        using var alice = SecretKey.Generate();
        using var bob = SecretKey.Generate();
        byte[] left = new byte[32];
        byte[] right = new byte[32];
        Assert.True(alice.TryDeriveSharedX(bob.PublicKey, left));
        Assert.True(bob.TryDeriveSharedX(alice.PublicKey, right));
        Assert.Equal(left, right);
        Assert.Contains(left, b => b != 0);
    }

    [Fact]
    public void A_point_off_the_curve_gives_no_secret()
    {
        using var key = SecretKey.Generate();
        var offCurve = Bytes32.ParseHex("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34");
        Assert.False(Secp256k1.IsValidPublicKey(offCurve.Span));
        Assert.False(key.TryDeriveSharedX(offCurve, new byte[32]));
    }

    [Fact]
    public void A_disposed_key_refuses_to_work_and_prints_nothing()
    {
        var key = SecretKey.Generate();
        Assert.Equal("SecretKey", key.ToString());
        key.Dispose();
        Assert.Throws<ObjectDisposedException>(() => key.Sign(new byte[32], new byte[64]));
    }

    [Fact]
    public void Nothing_here_allocates()
    {
        using var key = SecretKey.Generate();
        byte[] message = new byte[32];
        byte[] signature = new byte[64];
        byte[] shared = new byte[32];
        Run();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Run()
        {
            key.Sign(message, signature);
            _ = Secp256k1.VerifySchnorr(signature, message, key.PublicKey.Span);
            _ = key.TryDeriveSharedX(key.PublicKey, shared);
        }
    }
}
