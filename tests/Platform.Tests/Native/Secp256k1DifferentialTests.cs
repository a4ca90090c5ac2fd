using System.Globalization;
using System.Numerics;
using System.Security.Cryptography;
using Marmot.Platform.Native;
using NBitcoin.Secp256k1;
using Secp256k1 = Marmot.Platform.Native.Secp256k1;

namespace Marmot.Platform.Tests.Native;

/// <summary>The binding of libsecp256k1 against NBitcoin.Secp256k1, which shares no code with it: what one makes the other reads, and both refuse the
/// same.</summary>
[Trait("Spec", "BIP-340")]
public class Secp256k1DifferentialTests
{
    private const int Rounds = 300;
    private static readonly BigInteger Order = Hex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    private static readonly BigInteger Field = Hex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");

    /// <summary>Around every bound of a secret key: zero, the group's order, its half, and all bits set.</summary>
    private static IEnumerable<byte[]> EdgeSecrets =>
        new[] { 0, 1, 2, 3, Order - 2, Order - 1, Order, Order + 1, (Order - 1) / 2, (Order + 1) / 2, Field, (BigInteger.One << 256) - 1,
            BigInteger.One << 255 }.Select(Bytes);

    /// <summary>Around every bound of an x coordinate: not all of them are on the curve, and none at or above the field's prime is a key.</summary>
    private static IEnumerable<byte[]> EdgeXs =>
        Enumerable.Range(0, 20).Select(small => Bytes(small))
            .Concat(new[] { Field - 2, Field - 1, Field, Field + 1, Field + 5, Order, (BigInteger.One << 256) - 1 }.Select(Bytes));

    [Fact]
    public void Both_take_the_same_secret_keys_and_give_the_same_public_keys()
    {
        foreach (var secret in EdgeSecrets.Concat(Random("secret keys")))
        {
            var keypair = new byte[Secp256k1.KeypairSize];
            var ours = Secp256k1.TryCreateKeypair(secret, keypair);
            Assert.Equal(ECPrivKey.TryCreate(secret, out var theirs), ours);
            if (ours)
            {
                var publicKey = new byte[Secp256k1.PublicKeySize];
                Secp256k1.GetPublicKey(keypair, publicKey);
                Assert.Equal(theirs!.CreateXOnlyPubKey().ToBytes(), publicKey);
            }
        }
    }

    [Fact]
    public void Both_take_the_same_public_keys()
    {
        var accepted = 0;
        foreach (var x in EdgeXs.Concat(Random("x coordinates")))
        {
            var ours = Secp256k1.IsValidPublicKey(x);
            Assert.Equal(ECXOnlyPubKey.TryCreate(x, out _), ours);
            accepted += ours ? 1 : 0;
        }

        Assert.InRange(accepted, Rounds / 3, 2 * Rounds / 3); // about half of all x are on the curve
    }

    [Fact]
    public void Each_verifies_what_the_other_signed_and_both_refuse_what_was_changed()
    {
        foreach (var secret in EdgeSecrets.Where(secret => ECPrivKey.TryCreate(secret, out _)).Concat(Random("signing keys")))
        {
            var theirs = ECPrivKey.Create(secret);
            var theirPublic = theirs.CreateXOnlyPubKey();
            var publicKey = theirPublic.ToBytes();
            var message = RandomNumberGenerator.GetBytes(32);
            var keypair = new byte[Secp256k1.KeypairSize];
            Assert.True(Secp256k1.TryCreateKeypair(secret, keypair));
            var signature = new byte[Secp256k1.SignatureSize];
            Secp256k1.Sign(keypair, message, signature);
            Assert.True(Verifies(theirPublic, signature, message));

            var other = theirs.SignBIP340(message).ToBytes();
            Assert.True(Secp256k1.VerifySchnorr(other, message, publicKey));
            other[RandomNumberGenerator.GetInt32(other.Length)] ^= (byte)(1 << RandomNumberGenerator.GetInt32(8));
            Assert.False(Secp256k1.VerifySchnorr(other, message, publicKey));
            Assert.False(Verifies(theirPublic, other, message));
        }
    }

    [Fact]
    public void Both_refuse_signatures_whose_halves_are_at_or_beyond_their_bounds()
    {
        var key = ECPrivKey.Create(Bytes(7));
        var message = RandomNumberGenerator.GetBytes(32);
        var signature = key.SignBIP340(message).ToBytes();
        foreach (var half in EdgeXs.Concat(EdgeSecrets))
        {
            foreach (var at in new[] { 0, 32 })
            {
                var changed = (byte[])signature.Clone();
                half.CopyTo(changed, at);
                Assert.False(Secp256k1.VerifySchnorr(changed, message, key.CreateXOnlyPubKey().ToBytes()));
                Assert.False(Verifies(key.CreateXOnlyPubKey(), changed, message));
            }
        }
    }

    [Fact]
    [Trait("Spec", "NIP-44")]
    public void Both_derive_the_same_shared_x_coordinate()
    {
        foreach (var secret in EdgeSecrets.Where(secret => ECPrivKey.TryCreate(secret, out _)).Concat(Random("agreement keys")))
        {
            var peer = ECPrivKey.Create(RandomNumberGenerator.GetBytes(32)).CreateXOnlyPubKey().ToBytes();
            var shared = new byte[32];
            Assert.True(Secp256k1.TryDeriveSharedX(secret, peer, shared));
            Assert.True(ECPubKey.TryCreate([2, .. peer], Context.Instance, out _, out var point));
            Assert.Equal(point.GetSharedPubkey(ECPrivKey.Create(secret)).ToBytes()[1..], shared);
        }

        foreach (var x in EdgeXs)
        {
            Assert.Equal(ECXOnlyPubKey.TryCreate(x, out _), Secp256k1.TryDeriveSharedX(Bytes(5), x, new byte[32]));
        }
    }

    private static bool Verifies(ECXOnlyPubKey key, byte[] signature, byte[] message) =>
        SecpSchnorrSignature.TryCreate(signature, out var parsed) && key.SigVerifyBIP340(parsed, message);

    // From a seed that stands in the failure, so that what failed can be run again.
    private static IEnumerable<byte[]> Random(string label)
    {
        for (var round = 0; round < Rounds; round++)
        {
            yield return System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes($"{label} {round}"));
        }
    }

    private static BigInteger Hex(string digits) => BigInteger.Parse("0" + digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static byte[] Bytes(BigInteger number)
    {
        var bytes = new byte[32];
        var written = number.ToByteArray(isUnsigned: true, isBigEndian: true);
        written.CopyTo(bytes, 32 - written.Length);
        return bytes;
    }
}
