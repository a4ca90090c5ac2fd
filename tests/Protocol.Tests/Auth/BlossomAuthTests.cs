using System.Globalization;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Tests.Auth;

[Trait("Spec", "BUD-11")]
public sealed class BlossomAuthTests
{
    private const string Domain = "cdn.example.com";

    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);
    private static readonly Bytes32 Hash = Bytes32.ParseHex("fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8");
    private static readonly Bytes32 OtherHash = Bytes32.ParseHex("d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa");

    public static TheoryData<string, BlossomAuthVerdict> Verdicts() => new()
    {
        { "upload-ok", BlossomAuthVerdict.Accepted },
        { "upload-ok-multi-x", BlossomAuthVerdict.Accepted },
        { "upload-ok-server-tag", BlossomAuthVerdict.Accepted },
        { "upload-wrong-server", BlossomAuthVerdict.WrongServer },
        { "upload-one-of-two-servers", BlossomAuthVerdict.Accepted },
        { "upload-no-x", BlossomAuthVerdict.HashMissing },
        { "upload-wrong-x", BlossomAuthVerdict.WrongHash },
        { "upload-uppercase-x", BlossomAuthVerdict.WrongHash },
        { "expired", BlossomAuthVerdict.Expired },
        { "no-expiration", BlossomAuthVerdict.ExpirationMissing },
        { "created-in-future", BlossomAuthVerdict.CreatedInFuture },
        { "wrong-verb", BlossomAuthVerdict.WrongVerb },
        { "no-verb", BlossomAuthVerdict.VerbMissing },
        { "wrong-kind", BlossomAuthVerdict.WrongKind },
        { "delete-ok", BlossomAuthVerdict.Accepted },
        { "delete-no-x", BlossomAuthVerdict.HashMissing },
        { "get-ok-no-x", BlossomAuthVerdict.Accepted },
        { "get-wrong-x", BlossomAuthVerdict.WrongHash },
        { "list-ok", BlossomAuthVerdict.Accepted },
        { "media-ok", BlossomAuthVerdict.Accepted },
        { "upload-token-for-media", BlossomAuthVerdict.WrongVerb },
        { "empty-content", BlossomAuthVerdict.Accepted }, // left free by BUD-11, whose own example has it
    };

    [Theory]
    [MemberData(nameof(Verdicts))]
    public void Names_the_verdict_of_each_vector_in_both_alphabets(string name, BlossomAuthVerdict expected)
    {
        using var file = TestVectors.Open("blossom-auth.json");
        var root = file.RootElement;
        Assert.Equal(Verdicts().Count, root.GetProperty("cases").GetArrayLength());
        var item = root.GetProperty("cases").EnumerateArray().Single(c => c.GetProperty("name").GetString() == name);
        if (item.GetProperty("expect").ValueKind is System.Text.Json.JsonValueKind.True or System.Text.Json.JsonValueKind.False)
        {
            Assert.Equal(item.GetProperty("expect").GetBoolean(), expected == BlossomAuthVerdict.Accepted);
        }

        var verb = Enum.Parse<BlossomVerb>(item.GetProperty("action").GetString()!, ignoreCase: true);
        Bytes32? hash = item.TryGetProperty("sha256", out var hex) ? Bytes32.ParseHex(hex.GetString()!) : null;
        foreach (var header in new[] { "header_base64url_nopad", "header_base64_std" })
        {
            var verdict = BlossomAuth.Check(item.GetProperty(header).GetString(), verb, hash, Domain, Now, out var auth);
            Assert.Equal(expected, verdict);
            Assert.Equal(expected == BlossomAuthVerdict.Accepted, auth is not null);
        }
    }

    [Theory]
    [InlineData("", BlossomAuthVerdict.HeaderMissing)]
    [InlineData("   ", BlossomAuthVerdict.HeaderMissing)]
    [InlineData("Bearer abc", BlossomAuthVerdict.WrongScheme)]
    [InlineData("Nostr", BlossomAuthVerdict.WrongScheme)]
    [InlineData("Nostr !!!!", BlossomAuthVerdict.NotBase64)]
    [InlineData("Nostr ab-_+/ab", BlossomAuthVerdict.NotBase64)]
    [InlineData("Nostr YWJj ZGVm", BlossomAuthVerdict.NotBase64)]
    [InlineData("Nostr e30", BlossomAuthVerdict.NotAnEvent)]
    [InlineData("nostr e30=", BlossomAuthVerdict.NotAnEvent)]
    public void Names_what_is_wrong_with_the_header(string header, BlossomAuthVerdict expected)
    {
        Assert.Equal(expected, BlossomAuth.Check(header, BlossomVerb.Upload, Hash, Domain, Now, out var auth));
        Assert.Null(auth);
        Assert.NotEmpty(BlossomAuth.Describe(expected));
    }

    [Theory]
    [InlineData(600, BlossomAuthVerdict.Accepted)]
    [InlineData(601, BlossomAuthVerdict.CreatedInFuture)]
    public void A_clock_that_runs_ahead_is_tolerated_as_everywhere(int seconds, BlossomAuthVerdict expected)
    {
        using var key = SecretKey.Generate();
        var header = BlossomAuth.CreateHeader(key, BlossomVerb.Delete, [Hash], Domain, Now.AddSeconds(seconds), TimeSpan.FromMinutes(5));
        Assert.Equal(expected, BlossomAuth.Check(header, BlossomVerb.Delete, Hash, Domain, Now, out _));
    }

    [Fact]
    public void Refuses_a_header_longer_than_its_bound() =>
        Assert.Equal(
            BlossomAuthVerdict.TooLong,
            BlossomAuth.Check("Nostr " + new string('A', 16 * 1024), BlossomVerb.Get, null, Domain, Now, out _));

    [Fact]
    public void Accepts_its_own_header_until_it_expires()
    {
        using var key = SecretKey.Generate();
        var header = BlossomAuth.CreateHeader(key, BlossomVerb.Delete, [Hash], Domain, Now, TimeSpan.FromMinutes(5));
        Assert.Equal(BlossomAuthVerdict.Accepted, BlossomAuth.Check(header, BlossomVerb.Delete, Hash, Domain, Now, out var auth));
        Assert.Equal(key.PublicKey, auth!.PublicKey);
        Assert.True(auth.Covers(Hash));
        Assert.False(auth.Covers(OtherHash));
        Assert.Equal(BlossomAuthVerdict.Accepted, BlossomAuth.Check(header, BlossomVerb.Delete, Hash, Domain, Now.AddSeconds(299), out _));
        Assert.Equal(BlossomAuthVerdict.Expired, BlossomAuth.Check(header, BlossomVerb.Delete, Hash, Domain, Now.AddSeconds(300), out _));
        Assert.Equal(BlossomAuthVerdict.WrongServer, BlossomAuth.Check(header, BlossomVerb.Delete, Hash, "cdn.example.org", Now, out _));
        Assert.Equal(BlossomAuthVerdict.WrongVerb, BlossomAuth.Check(header, BlossomVerb.Upload, Hash, Domain, Now, out _));
    }

    [Fact]
    public void Takes_an_upload_whose_hash_is_not_known_yet_only_when_it_names_some_blob()
    {
        using var key = SecretKey.Generate();
        var named = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [OtherHash], null, Now, TimeSpan.FromMinutes(5));
        Assert.Equal(BlossomAuthVerdict.Accepted, BlossomAuth.Check(named, BlossomVerb.Upload, null, Domain, Now, out var auth));
        Assert.False(auth!.Covers(Hash));
        var unnamed = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [], null, Now, TimeSpan.FromMinutes(5));
        Assert.Equal(BlossomAuthVerdict.HashMissing, BlossomAuth.Check(unnamed, BlossomVerb.Upload, null, Domain, Now, out _));
    }

    [Theory]
    [InlineData("https://cdn.example.com/", BlossomAuthVerdict.Accepted)]
    [InlineData("cdn.example.com:443", BlossomAuthVerdict.Accepted)]
    [InlineData("CDN.example.com", BlossomAuthVerdict.Accepted)]
    [InlineData("cdn.example.com@evil.net", BlossomAuthVerdict.WrongServer)]
    [InlineData("cdn.example.com.evil.net", BlossomAuthVerdict.WrongServer)]
    [InlineData("example.com", BlossomAuthVerdict.WrongServer)]
    [InlineData("", BlossomAuthVerdict.WrongServer)]
    public void Reduces_a_server_tag_to_its_host(string server, BlossomAuthVerdict expected) =>
        Assert.Equal(expected, Check([["t", "get"], ["expiration", "1700000060"], ["server", server]], BlossomVerb.Get));

    [Theory]
    [InlineData("soon")]
    [InlineData("1e10")]
    [InlineData("-1")]
    [InlineData("")]
    [InlineData("99999999999999999999")]
    public void Refuses_an_expiration_that_is_not_a_plain_number(string expiration) =>
        Assert.Equal(BlossomAuthVerdict.ExpirationNotANumber, Check([["t", "get"], ["expiration", expiration]], BlossomVerb.Get));

    [Fact]
    public void Refuses_a_token_for_two_verbs() =>
        Assert.Equal(
            BlossomAuthVerdict.WrongVerb,
            Check([["t", "get"], ["t", "delete"], ["x", Hash.ToString()], ["expiration", "1700000060"]], BlossomVerb.Delete));

    [Fact]
    public void Refuses_a_token_whose_signature_is_another_events()
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, BlossomAuth.Kind, [["t", "list"], ["expiration", "1700000060"]], "a", Now.ToUnixTimeSeconds());
        var forged = System.Text.Encoding.UTF8.GetString(evt.Json.Span).Replace("\"content\":\"a\"", "\"content\":\"b\"", StringComparison.Ordinal);
        var header = "Nostr " + Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(forged));
        Assert.Equal(BlossomAuthVerdict.BadSignature, BlossomAuth.Check(header, BlossomVerb.List, null, Domain, Now, out _));
    }

    [Fact]
    public void Every_cut_of_a_header_is_refused()
    {
        using var key = SecretKey.Generate();
        var header = BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [Hash], null, Now, TimeSpan.FromMinutes(5));
        for (var length = 0; length < header.Length; length++)
        {
            var verdict = BlossomAuth.Check(header.AsSpan(0, length), BlossomVerb.Upload, Hash, Domain, Now, out _);
            Assert.True(verdict != BlossomAuthVerdict.Accepted, length.ToString(CultureInfo.InvariantCulture));
        }
    }

    private static BlossomAuthVerdict Check(string[][] tags, BlossomVerb verb)
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, BlossomAuth.Kind, tags, "test", Now.ToUnixTimeSeconds());
        return BlossomAuth.Check("Nostr " + Convert.ToBase64String(evt.Json.Span), verb, verb == BlossomVerb.Get ? null : Hash, Domain, Now, out _);
    }
}
