using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Tests.Events;

[Trait("Spec", "NIP-59")]
public sealed class RumorTests
{
    private static readonly Bytes32 Author = Bytes32.ParseHex("ab5d2e79cfd621b1b027ffb24e2453ed7fb571ba9a841ff0e2473466cabd168d");

    private static readonly string Json =
        System.Text.Encoding.UTF8.GetString(Rumor.Create(Author, 446, [["v", "mip05-v1"]], "a\"é", 1700000000).ToJson());

    [Fact]
    public void Reads_back_what_it_wrote()
    {
        Assert.True(Rumor.TryParse(NostrJson.Utf8(Json), out var rumor, out var reason), reason.ToString());
        Assert.Equal((Author, 446, 1700000000L, "a\"é"), (rumor.PublicKey, rumor.Kind, rumor.CreatedAt, rumor.Content));
        Assert.Equal("mip05-v1", rumor.TagValue("v"));
        Assert.DoesNotContain("\"sig\"", Json, StringComparison.Ordinal);
    }

    [Fact]
    public void Computes_an_absent_id()
    {
        var start = Json.IndexOf("\"pubkey\"", StringComparison.Ordinal);
        Assert.True(Rumor.TryParse(NostrJson.Utf8("{" + Json[start..]), out var rumor, out _));
        Assert.Contains(rumor.Id.ToString(), Json, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-59")]
    public void An_empty_signature_is_none_in_a_rumor_and_wrong_in_an_event()
    {
        Assert.True(Rumor.TryParse(NostrJson.Utf8(Json[..^1] + ",\"sig\":\"\"}"), out var rumor, out _));
        Assert.Contains(rumor.Id.ToString(), Json, StringComparison.Ordinal);
        AssertRefused(Json[..^1] + ",\"sig\":\"00\"}", "sig is not 128 lower-case hex digits");
        Assert.False(NostrEventReader.TryRead(NostrJson.Utf8(Json[..^1] + ",\"sig\":\"\"}"), out _, out var reason));
        Assert.Equal("invalid: sig is not 128 lower-case hex digits", reason.ToString());
    }

    [Fact]
    public void Refuses_a_signature_a_wrong_id_and_a_missing_member()
    {
        AssertRefused(Json[..^1] + $",\"sig\":\"{new string('a', 128)}\"}}", "an unsigned event carries a signature");
        AssertRefused(Json.Replace("446", "447", StringComparison.Ordinal), "id is not the hash of the event");
        AssertRefused(Json.Replace("\"kind\":446,", "", StringComparison.Ordinal), "kind is missing");
        AssertRefused(Json + "x", "unexpected bytes after the event");
    }

    [Fact]
    public void Every_truncation_is_refused()
    {
        var bytes = NostrJson.Utf8(Json);
        for (var length = 0; length < bytes.Length; length++)
        {
            Assert.False(Rumor.TryParse(bytes.AsSpan(0, length), out _, out _));
        }
    }

    private static void AssertRefused(string json, string text)
    {
        Assert.False(Rumor.TryParse(NostrJson.Utf8(json), out _, out var reason));
        Assert.Equal(text, reason.Text);
    }
}
