using System.Text;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;

namespace Marmot.Protocol.Tests.Components;

/// <summary>Limits and canonical forms of components, each rule at its edge.</summary>
[Trait("Spec", "adopted profile, components")]
public class ComponentRuleTests
{
    private static readonly Bytes32 Id = Bytes32.ParseHex(new string('a', 64));

    private static byte[] Body(params byte[][] fields)
    {
        var writer = new VectorWriter();
        foreach (byte[] field in fields)
        {
            writer.Vector(field);
        }

        return writer.ToArray();
    }

    private static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    [Fact]
    public void A_profile_has_its_limits_in_bytes_and_valid_text()
    {
        Assert.NotNull(ComponentVectorTests.Roundtrip(ComponentType.Profile, Body(Utf8(new string('ü', 128)), Utf8(new string('d', 4096)))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.Profile, Body(Utf8(new string('ü', 128) + "x"), [])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.Profile, Body([], Utf8(new string('d', 4097)))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.Profile, Body([0xff], [])));
        Assert.Throws<InvalidOperationException>(() => new GroupProfile(new string('n', 257), "").ToBytes());
    }

    [Fact]
    public void Admins_are_written_ascending_whatever_their_order()
    {
        var policy = AdminPolicy.Of([Bytes32.ParseHex(new string('b', 64)), Id, Id]);
        Assert.Equal([Id, Bytes32.ParseHex(new string('b', 64))], policy.Admins);
        Assert.True(policy.Contains(Id));
        Assert.Throws<ArgumentException>(() => AdminPolicy.Of([]));
    }

    [Theory]
    [InlineData("ws://relay.example", true)]
    [InlineData("wss://relay.example:7000/path?x=1", true)]
    [InlineData("wss://RELAY.example/", true)] // need not be normalised
    [InlineData("wss://[::1]/", true)]
    [InlineData("https://relay.example", false)]
    [InlineData("wss://", false)]
    [InlineData("wss://u@relay.example", false)]
    [InlineData("wss://@relay.example", false)]
    [InlineData("wss://relay.example/#", false)]
    [InlineData("wss://relay.example/a@b", true)]
    [InlineData("relay.example", false)]
    public void A_relay_url_is_ws_with_a_host_and_without_user_and_fragment(string url, bool valid)
    {
        Assert.Equal(valid, NostrRouting.IsRelayUrl(url));
        Assert.Equal(valid, NostrRouting.TryRead([.. Id.Span, .. Body(Body(Utf8(url)))], out _, out _));
        Assert.False(NostrRouting.IsRelayUrl("wss://relay.example/" + new string('x', 493)));
        Assert.True(NostrRouting.IsRelayUrl("wss://relay.example/" + new string('x', 492)));
    }

    [Fact]
    public void Sixteen_relays_are_the_most()
    {
        Assert.Equal(16, NostrRouting.Of(Id, Enumerable.Range(0, 16).Select(i => $"wss://r{i}.example")).Relays.Count);
        Assert.Throws<ArgumentException>(() => NostrRouting.Of(Id, Enumerable.Range(0, 17).Select(i => $"wss://r{i}.example")));
        Assert.Throws<ArgumentException>(() => NostrRouting.Of(Id, []));
    }

    [Theory]
    [InlineData(0UL, 1796027664L, null)]
    [InlineData(86400UL, 1796027664L, 1796114064UL)] // a life recorded from MDK
    [InlineData(ulong.MaxValue, 0L, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 1L, null)]
    [InlineData(5UL, -1L, null)]
    public void A_message_is_due_at_its_inner_date_plus_the_seconds(ulong seconds, long createdAt, ulong? due)
    {
        var retention = new MessageRetention(seconds);
        Assert.Equal(due, retention.DueAt(createdAt));
        Assert.Equal(due is <= long.MaxValue, retention.IsDue(createdAt, long.MaxValue));
        if (due is < long.MaxValue)
        {
            Assert.True(retention.IsDue(createdAt, (long)due.Value));
            Assert.False(retention.IsDue(createdAt, (long)due.Value - 1));
        }
    }

    [Theory]
    [InlineData("0103 00001000 00000000 0000", true)] // what White Noise writes
    [InlineData("0707 0000ffef 0000012c 1000", true)]
    [InlineData("0007 00001000 00000000 0000", false)] // nothing required
    [InlineData("0201 00001000 00000000 0000", false)] // required, not allowed
    [InlineData("0109 00001000 00000000 0000", false)] // unknown role
    [InlineData("0101 00000000 00000000 0000", false)]
    [InlineData("0101 0000fff0 00000000 0000", false)]
    [InlineData("0101 00001000 0000012d 0000", false)]
    [InlineData("0101 00001000 00000000 1001", false)]
    [InlineData("0101 00001000 00000000 00", false)]
    [InlineData("0101 00001000 00000000 000000", false)]
    public void Text_streams_have_their_ranges(string hex, bool valid)
    {
        byte[] body = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal(valid, ComponentVectorTests.Roundtrip(ComponentType.AgentTextStream, body) is { } written && body.AsSpan().SequenceEqual(written));
        Assert.Equal([0xf2d1, 0xf2d2, 0xf2d4], new[] { StreamRoles.Receive, StreamRoles.Send, StreamRoles.Broker }.Select(AgentTextStream.CapabilityOf));
    }

    [Theory]
    [InlineData("https://example.org/", true)]
    [InlineData("https://example.org/a/b.png?size=1&x=%20", true)]
    [InlineData("https://example.org:8443/a", true)]
    [InlineData("https://xn--fe-hia8a.example/%C3%BC", true)] // füße, percent-encoded path
    [InlineData("https://192.0.2.1/", true)]
    [InlineData("https://[2001:db8::1]/", true)]
    [InlineData("https://example.org/a%2fb//c", true)]
    [InlineData("https://example.org", false)] // the path is at least a slash
    [InlineData("http://example.org/", false)]
    [InlineData("HTTPS://example.org/", false)]
    [InlineData("https://Example.org/", false)]
    [InlineData("https://example.org:443/", false)]
    [InlineData("https://example.org:0443/", false)]
    [InlineData("https://example.org:/", false)]
    [InlineData("https://example.org/./a", false)]
    [InlineData("https://example.org/a/..", false)]
    [InlineData("https://example.org/%2e%2E/a", false)]
    [InlineData("https://example.org/a b", false)]
    [InlineData("https://example.org/a\\b", false)]
    [InlineData("https://example.org/{a}", false)]
    [InlineData("https://example.org/ü", false)]
    [InlineData("https://füße.example/", false)]
    [InlineData("https://u@example.org/", false)]
    [InlineData("https://u:p@example.org/", false)]
    [InlineData("https://example.org/#a", false)]
    [InlineData("https://example.org/?'", false)]
    [InlineData("https://0xc0.0.2.1/", false)]
    [InlineData("https://192.0.513/", false)]
    [InlineData("https://[2001:DB8::1]/", false)]
    [InlineData("https://[2001:db8:0:0::1]/", false)]
    [InlineData("https:///a", false)]
    [InlineData(" https://example.org/", false)]
    public void An_avatar_url_is_https_in_its_normalised_form(string url, bool valid)
        => Assert.Equal(valid, ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(Utf8(url), [], [])) is not null);

    [Fact]
    public void An_avatar_is_absent_or_has_a_url_and_hints_are_bounded()
    {
        byte[] url = Utf8("https://example.org/");
        Assert.Equal(AvatarUrl.None.ToBytes(), new byte[3]);
        Assert.NotNull(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, new byte[3]));
        Assert.NotNull(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(url, Utf8(new string('d', 256)), Utf8(new string('t', 256)))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(url, Utf8(new string('d', 257)), [])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(url, [], Utf8(new string('t', 257)))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body([], Utf8("1x1"), [])));
        Assert.NotNull(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(Utf8("https://example.org/" + new string('a', 2028)), [], [])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.AvatarUrl, Body(Utf8("https://example.org/" + new string('a', 2029)), [], [])));
        Assert.Throws<InvalidOperationException>(() => new AvatarUrl("http://example.org/", "", "").ToBytes());
    }

    private static byte[] Policy(string[] kinds, params (string Kind, string Url)[] endpoints) => new VectorWriter()
        .Text("encrypted-media-v2")
        .Vector(Body([.. kinds.Select(Utf8)]))
        .Vector(Body([.. endpoints.SelectMany(e => new[] { Utf8(e.Kind), Utf8(e.Url) })]))
        .ToArray();

    [Fact]
    public void A_media_policy_has_its_limits_and_keeps_its_order()
    {
        const string url = "https://blossom.example/";
        Assert.NotNull(
            ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["b", "a-9"], ("a-9", url), ("b", url), ("a-9", "http://other.example/x"))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a", "a"], ("a", url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy([], ("a", url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], ("b", url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], ("a", url), ("a", url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["A"], ("A", url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy([new string('a', 65)], (new string('a', 65), url))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], ("a", url + "?x"))));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], ("a", "ftp://blossom.example/"))));
        Assert.NotNull(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], [.. Enumerable.Range(0, 16).Select(i => ("a", $"{url}{i}"))])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy(["a"], [.. Enumerable.Range(0, 17).Select(i => ("a", $"{url}{i}"))])));
        Assert.Null(ComponentVectorTests.Roundtrip(ComponentType.MediaPolicy, Policy([.. Enumerable.Range(0, 17).Select(i => $"k{i}")], ("k0", url))));
        Assert.Throws<ArgumentException>(() => MediaPolicy.OfBlossom([]));
        Assert.Equal("blossom-v1", Assert.Single(MediaPolicy.OfBlossom([url]).Endpoints).Kind);
    }

    [Fact]
    public void What_is_no_state_of_a_group_is_refused_and_what_is_unknown_is_kept()
    {
        Assert.NotNull(ComponentType.FaultInGroup(ComponentType.FrozenMedia, []));
        Assert.NotNull(ComponentType.FaultInGroup(ComponentType.AccountIdentityProof, new byte[104]));
        Assert.NotNull(ComponentType.FaultInGroup(0x0002, [0]));
        Assert.Null(ComponentType.FaultInGroup(0x9002, [1, 2, 3]));
        Assert.Null(ComponentType.FaultInGroup(0x0001, [0]));
    }

    [Fact]
    public void A_picture_opens_again_and_only_whole()
    {
        var picture = GroupPicture.Encrypt("a picture"u8, "Image/JPG; q=1", out byte[] blob);
        Assert.Equal("image/jpeg", picture.MediaTypeName);
        Assert.True(GroupPicture.TryRead(picture.ToBytes(), out var read, out _));
        Assert.True(read!.TryDecrypt(blob, out byte[]? opened));
        Assert.Equal("a picture"u8.ToArray(), opened);
        blob[3] ^= 1;
        Assert.False(read.TryDecrypt(blob, out _));
        using var uploadKey = read.CreateUploadKey();
        Assert.DoesNotContain(Convert.ToHexStringLower(picture.ToBytes().AsSpan(34, 32)), read.ToString(), StringComparison.Ordinal);
        Assert.True(GroupPicture.TryRead(GroupPicture.NoPicture, out var none, out _));
        Assert.Null(none);
        Assert.Throws<ArgumentException>(() => GroupPicture.Encrypt([1], "picture", out _));
    }
}
