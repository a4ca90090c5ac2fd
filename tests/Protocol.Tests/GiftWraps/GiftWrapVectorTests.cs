using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.GiftWraps;

/// <summary>nip59-giftwrap.json, every case.</summary>
[Trait("Spec", "NIP-59")]
public class GiftWrapVectorTests
{
    private static readonly JsonElement File = VectorFile.Read("nip59-giftwrap.json");
    private static readonly JsonElement Generated = File.GetProperty("generated");

    // Each refusal must come from the check the case is about, not from an accident before it.
    private static readonly Dictionary<string, string> Expected = new()
    {
        ["rumor-pubkey-differs-from-seal"] = "the rumor's author did not sign the seal",
        ["rumor-carries-sig"] = "the seal holds no unsigned event",
        ["rumor-id-mismatch"] = "the rumor's id is not its hash",
        ["seal-has-tags"] = "the seal has tags",
        ["rumor-not-json"] = "the seal holds no unsigned event",
        ["seal-bad-signature"] = "the seal's id or signature is wrong",
        ["seal-kind-not-13"] = "the gift wrap holds no seal",
        ["rumor-directly-in-wrap-no-seal"] = "the gift wrap holds no seal",
    };

    [Fact]
    public void Opens_the_wrap_printed_in_the_specification()
    {
        var official = File.GetProperty("nip59_official");
        var rumor = Open(official.GetProperty("wrap"), official.Bytes("recipient_secret_key"));
        Assert.Equal("Are you going to the party tonight?", rumor.Content);
        Assert.Equal(official.GetProperty("rumor").Text("id"), rumor.Id.ToString());
        Assert.Equal(official.GetProperty("rumor").Text("pubkey"), rumor.PublicKey.ToString());
        Assert.Equal(1691518405, rumor.CreatedAt);
    }

    [Fact]
    public void Opens_the_generated_wrap()
    {
        var rumor = Open(Generated.GetProperty("wrap"), Generated.Bytes("recipient_secret_key"));
        Assert.Equal(Generated.Text("rumor_json"), System.Text.Encoding.UTF8.GetString(rumor.ToJson()));
    }

    [Fact]
    public void Decides_every_bad_wrap()
    {
        var cases = File.GetProperty("invalid_for_recipient");
        Assert.Equal(9, cases.GetArrayLength());
        Assert.True(SecretKey.TryCreate(Generated.Bytes("recipient_secret_key"), out var recipient));
        using (recipient)
        {
            foreach (var vector in cases.EnumerateArray())
            {
                string name = vector.Text("name");
                Assert.True(NostrEvent.TryParse(vector.GetProperty("wrap").Utf8(), out var wrap, out _), name);
                if (name == "two-p-tags")
                {
                    Assert.True(GiftWrap.TryOpen(wrap, recipient, out _, out _));
                    Assert.False(GiftWrap.TryOpen(wrap, recipient, out _, out _, GiftWrapRules.SingleRecipient));
                    continue;
                }

                Assert.False(GiftWrap.TryOpen(wrap, recipient, out var rumor, out var reason), name);
                Assert.Null(rumor);
                Assert.Equal($"invalid: {Expected[name]}", reason.ToString());
            }
        }
    }

    private static Rumor Open(JsonElement json, byte[] secret)
    {
        Assert.True(SecretKey.TryCreate(secret, out var recipient));
        using (recipient)
        {
            Assert.True(NostrEvent.TryParse(json.Utf8(), out var wrap, out var reason), reason.ToString());
            Assert.True(GiftWrap.TryOpen(wrap, recipient, out var rumor, out reason, GiftWrapRules.SingleRecipient), reason.ToString());
            return rumor;
        }
    }
}
