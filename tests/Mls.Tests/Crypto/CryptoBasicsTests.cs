using System.Text;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;

namespace Marmot.Mls.Tests.Crypto;

[Trait("Spec", "RFC 9420, 5")]
public class CryptoBasicsTests
{
    [Fact]
    public void Every_labelled_function_agrees_with_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("crypto-basics", skipped: 2))
        {
            var v = item.GetProperty("ref_hash");
            Assert.Equal(v.Bytes("out"), suite.RefHash(Label(v), v.Bytes("value")));
            v = item.GetProperty("expand_with_label");
            Assert.Equal(v.Bytes("out"), suite.ExpandWithLabel(v.Bytes("secret"), Label(v), v.Bytes("context"), (int)v.UInt("length")).ToArray());
            v = item.GetProperty("derive_secret");
            Assert.Equal(v.Bytes("out"), suite.DeriveSecret(v.Bytes("secret"), Label(v)).ToArray());
            v = item.GetProperty("derive_tree_secret");
            var treeSecret = new byte[v.UInt("length")];
            suite.DeriveTreeSecret(v.Bytes("secret"), Label(v), v.UInt("generation"), treeSecret);
            Assert.Equal(v.Bytes("out"), treeSecret);

            v = item.GetProperty("sign_with_label");
            Assert.True(suite.VerifyWithLabel(v.Bytes("pub"), Label(v), v.Bytes("content"), v.Bytes("signature")));
            var own = suite.SignWithLabel(suite.Signature.Prepare(v.Bytes("priv")), Label(v), v.Bytes("content"));
            Assert.True(suite.VerifyWithLabel(v.Bytes("pub"), Label(v), v.Bytes("content"), own));
            Assert.False(suite.VerifyWithLabel(v.Bytes("pub"), "x"u8, v.Bytes("content"), own));
            Assert.Equal(v.Bytes("pub"), suite.Signature.PublicKey(v.Bytes("priv")));

            v = item.GetProperty("encrypt_with_label");
            var pair = new KeyPair(v.Bytes("priv"), v.Bytes("pub"));
            Assert.Equal(pair.PublicKey, suite.Kem.PublicKey(pair.PrivateKey));
            Assert.Equal(v.Bytes("plaintext"),
                suite.DecryptWithLabel(pair.PrivateKey, pair.PublicKey, Label(v), v.Bytes("context"), v.Bytes("kem_output"), v.Bytes("ciphertext")).ToArray());
            var (enc, ciphertext) = suite.EncryptWithLabel(pair.PublicKey, Label(v), v.Bytes("context"), v.Bytes("plaintext"));
            Assert.Equal(v.Bytes("plaintext"),
                suite.DecryptWithLabel(pair.PrivateKey, pair.PublicKey, Label(v), v.Bytes("context"), enc, ciphertext).ToArray());
        }

        static byte[] Label(System.Text.Json.JsonElement v) => Encoding.UTF8.GetBytes(v.GetProperty("label").GetString()!);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    [InlineData(0x0a0a)]
    public void Suites_that_do_not_exist_here_are_refused_by_name(int id)
        => Assert.Equal(MlsError.UnsupportedCipherSuite, Assert.Throws<MlsException>(() => CipherSuite.Get((ushort)id)).Error);

    [Fact]
    public void A_low_order_point_is_refused()
    {
        var suite = CipherSuite.Get(1);
        Assert.Equal(MlsError.InvalidKey, Assert.Throws<MlsException>(() => suite.EncryptWithLabel(new byte[32], "x"u8, default, default)).Error);
    }

    [Fact]
    public void A_compressed_or_off_curve_point_is_refused()
    {
        var suite = CipherSuite.Get(2);
        var good = suite.GenerateKeyPair().PublicKey;
        byte[] compressed = [2, .. good[1..33]];
        Assert.Throws<MlsException>(() => suite.EncryptWithLabel(compressed, "x"u8, default, default));
        good[40] ^= 1;
        Assert.Throws<MlsException>(() => suite.EncryptWithLabel(good, "x"u8, default, default));
    }

    [Fact]
    public void Expand_takes_an_info_longer_than_32_KiB()
        => Assert.Equal(32, CipherSuite.Get(1).ExpandWithLabel(new byte[32], "x"u8, new byte[100_000], 32).Length);
}
