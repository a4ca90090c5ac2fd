using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Events;

namespace Marmot.Protocol.Tests.Auth;

[Trait("Spec", "NIP-42")]
public sealed class RelayAuthTests
{
    private const string RelayUrl = "wss://relay.example.com/";

    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);

    public static TheoryData<string, RelayAuthVerdict> Verdicts() => new()
    {
        { "good", RelayAuthVerdict.Accepted },
        { "good-no-trailing-slash", RelayAuthVerdict.Accepted },
        { "good-uppercase-host", RelayAuthVerdict.Accepted },
        { "good-599s-old", RelayAuthVerdict.Accepted },
        { "good-extra-tag", RelayAuthVerdict.Accepted },
        { "too-old", RelayAuthVerdict.CreatedAtOutOfRange },
        { "too-new", RelayAuthVerdict.CreatedAtOutOfRange },
        { "wrong-challenge", RelayAuthVerdict.WrongChallenge },
        { "no-challenge", RelayAuthVerdict.ChallengeMissing },
        { "wrong-relay", RelayAuthVerdict.WrongRelay },
        { "relay-suffix-trick", RelayAuthVerdict.WrongRelay },
        { "relay-userinfo-trick", RelayAuthVerdict.WrongRelay },
        { "no-relay", RelayAuthVerdict.RelayMissing },
        { "wrong-kind", RelayAuthVerdict.WrongKind },
        { "bad-signature", RelayAuthVerdict.BadSignature },
    };

    [Theory]
    [MemberData(nameof(Verdicts))]
    public void Names_the_verdict_of_each_vector(string name, RelayAuthVerdict expected)
    {
        using var file = TestVectors.Open("nip42-auth.json");
        var root = file.RootElement;
        Assert.Equal(Verdicts().Count, root.GetProperty("cases").GetArrayLength());
        var item = root.GetProperty("cases").EnumerateArray().Single(c => c.GetProperty("name").GetString() == name);
        Assert.Equal(item.GetProperty("expect").GetBoolean(), expected == RelayAuthVerdict.Accepted);
        var json = NostrJson.Utf8(item.GetProperty("event").GetRawText());
        Assert.True(NostrEventReader.TryRead(json, out var view, out _));

        var verdict = RelayAuth.Check(
            view,
            root.GetProperty("challenge").GetString()!,
            root.GetProperty("relay_url").GetString()!,
            DateTimeOffset.FromUnixTimeSeconds(root.GetProperty("now").GetInt64()));

        Assert.Equal(expected, verdict);
        Assert.Equal(verdict == RelayAuthVerdict.Accepted, RelayAuth.ToReason(verdict) == default);
    }

    [Fact]
    public void Accepts_its_own_answer_and_only_within_ten_minutes()
    {
        using var key = SecretKey.Generate();
        var challenge = RelayAuth.CreateChallenge();
        var evt = RelayAuth.Create(key, RelayUrl, challenge, Now);
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
        Assert.Equal(RelayAuthVerdict.Accepted, RelayAuth.Check(view, challenge, RelayUrl, Now.AddSeconds(600)));
        Assert.Equal(RelayAuthVerdict.Accepted, RelayAuth.Check(view, challenge, RelayUrl, Now.AddSeconds(-600)));
        Assert.Equal(RelayAuthVerdict.CreatedAtOutOfRange, RelayAuth.Check(view, challenge, RelayUrl, Now.AddSeconds(601)));
        Assert.Equal(RelayAuthVerdict.CreatedAtOutOfRange, RelayAuth.Check(view, challenge, RelayUrl, Now.AddSeconds(-601)));
        Assert.Equal(RelayAuthVerdict.WrongChallenge, RelayAuth.Check(view, RelayAuth.CreateChallenge(), RelayUrl, Now));
    }

    [Theory]
    [InlineData("ws://RELAY.example.com:8080/chat", true)]
    [InlineData("wss://relay.example.com./", true)]
    [InlineData("relay.example.com", false)]
    [InlineData("ftp://relay.example.com/", false)]
    [InlineData("wss://example.com/", false)]
    [InlineData("wss://evil.net/relay.example.com", false)]
    [InlineData("", false)]
    [InlineData("wss://xn--ü/", false)]
    [InlineData("wss://xn--ü.relay.example.com/", false)]
    [InlineData("wss://a..b/", false)]
    [InlineData("wss://relay.example.com:99999/", false)]
    public void Compares_the_relay_by_its_host(string claimed, bool accepted)
    {
        using var key = SecretKey.Generate();
        var evt = RelayAuth.Create(key, claimed, "c", Now);
        Assert.True(NostrEventReader.TryRead(evt.Json.Span, out var view, out _));
        var verdict = RelayAuth.Check(view, "c", ["wss://other.example/", RelayUrl], Now);
        Assert.Equal(accepted ? RelayAuthVerdict.Accepted : RelayAuthVerdict.WrongRelay, verdict);
    }
}
