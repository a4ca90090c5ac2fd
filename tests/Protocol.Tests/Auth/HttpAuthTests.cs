using System.Security.Cryptography;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Auth;

[Trait("Spec", "NIP-98")]
public sealed class HttpAuthTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);
    private static readonly Uri Url = new("https://api.example.com/admin?x=1");
    private static readonly byte[] Body = [1, 2, 3];
    private static readonly Bytes32 BodyHash = new(SHA256.HashData(Body));

    [Fact]
    public void Accepts_its_own_header_and_names_the_key()
    {
        using var key = SecretKey.Generate();
        var header = HttpAuth.CreateHeader(key, "POST", Url, Body, Now);
        Assert.Equal(HttpAuthVerdict.Accepted, HttpAuth.Check(header, "POST", Url, BodyHash, Now, out var publicKey));
        Assert.Equal(key.PublicKey, publicKey);
        Assert.Empty(HttpAuth.Describe(HttpAuthVerdict.Accepted));
    }

    [Theory]
    [InlineData(600, HttpAuthVerdict.Accepted)]
    [InlineData(-600, HttpAuthVerdict.Accepted)]
    [InlineData(601, HttpAuthVerdict.CreatedAtOutOfRange)]
    [InlineData(-601, HttpAuthVerdict.CreatedAtOutOfRange)]
    public void Holds_within_the_clock_tolerance_either_way(int seconds, HttpAuthVerdict expected)
    {
        using var key = SecretKey.Generate();
        var header = HttpAuth.CreateHeader(key, "GET", Url, [], Now);
        Assert.Equal(expected, HttpAuth.Check(header, "GET", Url, null, Now.AddSeconds(seconds), out _));
    }

    [Fact]
    public void Names_each_other_fault()
    {
        using var key = SecretKey.Generate();
        var header = HttpAuth.CreateHeader(key, "POST", Url, Body, Now);
        Assert.Equal(HttpAuthVerdict.WrongMethod, HttpAuth.Check(header, "PUT", Url, BodyHash, Now, out _));
        Assert.Equal(HttpAuthVerdict.WrongUrl, HttpAuth.Check(header, "POST", new Uri("https://api.example.com/admin?x=2"), BodyHash, Now, out _));
        Assert.Equal(HttpAuthVerdict.WrongUrl, HttpAuth.Check(header, "POST", new Uri("https://api.example.com:444/admin?x=1"), BodyHash, Now, out _));
        Assert.Equal(HttpAuthVerdict.WrongPayload, HttpAuth.Check(header, "POST", Url, new Bytes32(SHA256.HashData([9])), Now, out _));
        Assert.Equal(
            HttpAuthVerdict.PayloadMissing,
            HttpAuth.Check(HttpAuth.CreateHeader(key, "POST", Url, [], Now), "POST", Url, BodyHash, Now, out _));
        Assert.Equal(HttpAuthVerdict.HeaderMissing, HttpAuth.Check("", "POST", Url, null, Now, out _));
        Assert.Equal(HttpAuthVerdict.WrongScheme, HttpAuth.Check("Basic eA==", "POST", Url, null, Now, out _));
        Assert.Equal(HttpAuthVerdict.NotBase64, HttpAuth.Check("Nostr ?", "POST", Url, null, Now, out _));
        Assert.Equal(HttpAuthVerdict.NotAnEvent, HttpAuth.Check("Nostr W10=", "POST", Url, null, Now, out _));
        var relayAuth = RelayAuth.Create(key, "wss://api.example.com", "c", Now);
        Assert.Equal(
            HttpAuthVerdict.WrongKind,
            HttpAuth.Check("Nostr " + Convert.ToBase64String(relayAuth.Json.Span), "POST", Url, null, Now, out _));
    }

    [Fact]
    public void Refuses_a_changed_event()
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, HttpAuth.Kind, [["u", Url.AbsoluteUri], ["method", "GET"]], "", Now.ToUnixTimeSeconds());
        var changed = System.Text.Encoding.UTF8.GetString(evt.Json.Span).Replace("\"GET\"", "\"PUT\"", StringComparison.Ordinal);
        var header = "Nostr " + Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(changed));
        Assert.Equal(HttpAuthVerdict.BadSignature, HttpAuth.Check(header, "PUT", Url, null, Now, out _));
    }
}
