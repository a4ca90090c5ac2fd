using Marmot.Protocol.Keys;
using Marmot.Platform.Native;

namespace Marmot.Protocol.Tests.Events;

/// <summary>bip340-schnorr.json: the vectors of BIP-340.</summary>
[Trait("Spec", "BIP-340")]
public sealed class Bip340VectorTests
{
    [Fact]
    public void Each_verdict_is_the_vector_s()
    {
        using var file = TestVectors.Open("bip340-schnorr.json");
        var checkedCount = 0;
        foreach (var item in file.RootElement.EnumerateArray())
        {
            byte[] Field(string name) => Convert.FromHexString(item.GetProperty(name).GetString()!);
            if (Field("message").Length != 32)
            {
                continue; // Nostr signs 32-byte ids only
            }

            var verdict = Secp256k1.VerifySchnorr(Field("signature"), Field("message"), Field("public key"));
            Assert.True(verdict == (item.GetProperty("verification result").GetString() == "TRUE"), item.GetProperty("index").GetString());
            if (SecretKey.TryCreate(Field("secret key"), out var key))
            {
                using (key)
                {
                    Assert.Equal(Field("public key"), key.PublicKey.Span.ToArray());
                }
            }

            checkedCount++;
        }

        Assert.Equal(15, checkedCount);
    }
}
