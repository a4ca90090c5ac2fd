using System.Text.Json;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Components;

/// <summary>Kinds 445 and 30443 as the adopted profile has them, beside events that MDK made.</summary>
[Trait("Spec", "adopted profile, transport")]
public class AdoptedEventTests
{
    private static readonly JsonElement File = VectorFile.Read("adopted/mdk-events.json");

    private static NostrEvent Event(JsonElement item)
    {
        Assert.True(NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(item.GetRawText()), out var evt, out var reason), reason.ToString());
        return evt;
    }

    [Fact]
    public void Outer_events_are_taken_and_refused_as_mdk_does()
    {
        var events = File.GetProperty("group_events").EnumerateArray().ToArray();
        Assert.Equal(7, events.Length);
        foreach (var item in events)
        {
            Assert.True((item.Text("decoded") == "accepted") == AdoptedGroupEvent.TryParse(Event(item.GetProperty("event")), out _, out _), item.Text("id"));
        }
    }

    [Fact]
    public void Events_of_a_life_open_and_are_dated_and_expire_as_ours_would()
    {
        var (messages, expiring) = (0, 0);
        foreach (var item in File.GetProperty("messages").EnumerateArray())
        {
            var evt = Event(item.GetProperty("event"));
            Assert.True(AdoptedGroupEvent.TryParse(evt, out var group, out var reason), reason.ToString());
            Assert.True(group.TryOpen(item.Bytes("key"), out byte[]? message));
            Assert.Equal(item.Bytes("mls_message"), message);
            if (item.GetProperty("inner_event").ValueKind != JsonValueKind.Object)
            {
                continue; // a commit: dated when it was made
            }

            long created = item.GetProperty("inner_event").GetProperty("created_at").GetInt64();
            var retention = item.GetProperty("retention").GetString() is { } body ? Retention(body) : MessageRetention.Off;
            var ours = AdoptedGroupEvent.CreateMessage(item.Bytes("key"), group.NostrGroupId, message, created, retention);
            Assert.Equal(evt.CreatedAt, ours.CreatedAt);
            Assert.Equal(evt.Tags.Select(t => string.Join(' ', t)), ours.Tags.Select(t => string.Join(' ', t)));
            Assert.NotEqual(evt.PublicKey, ours.PublicKey);
            messages++;
            expiring += group.Expiration is null ? 0 : 1;
        }

        Assert.Equal((8, 3), (messages, expiring));

        static MessageRetention Retention(string hex)
        {
            Assert.True(MessageRetention.TryRead(Convert.FromHexString(hex), out var retention, out _));
            return retention;
        }
    }

    [Fact]
    public void Own_events_are_signed_by_fresh_keys_and_read_back()
    {
        byte[] key = new byte[32];
        var id = Bytes32.ParseHex(new string('c', 64));
        var commit = AdoptedGroupEvent.CreateHandshake(key, id, [1, 2, 3], 1_700_000_000);
        var late = AdoptedGroupEvent.CreateMessage(key, id, [1, 2, 3], 1_500_000_000, new MessageRetention(ulong.MaxValue));
        Assert.NotEqual(commit.PublicKey, late.PublicKey);
        Assert.Equal(1_500_000_000, late.CreatedAt);
        Assert.Single(late.Tags); // never due: no expiration
        foreach (var evt in (NostrEvent[])[commit, late])
        {
            Assert.True(evt.TryVerify(out _));
            Assert.True(AdoptedGroupEvent.TryParse(evt, out var read, out _));
            Assert.True(read.TryOpen(key, out byte[]? message));
            Assert.Equal([1, 2, 3], message);
        }

        Assert.Equal("9223372036854775808", AdoptedGroupEvent.CreateMessage(key, id, [], 1, new MessageRetention(long.MaxValue)).TagValue("expiration"));
    }

    [Theory]
    [InlineData("18446744073709551615", true)]
    [InlineData("0", true)]
    [InlineData("18446744073709551616", false)]
    [InlineData("-1", false)]
    [InlineData("+1", false)]
    [InlineData("", false)]
    [InlineData("1 ", false)]
    public void An_expiration_is_an_unsigned_number(string value, bool valid)
    {
        using var key = SecretKey.Generate();
        string content = Convert.ToBase64String(new byte[28]);
        Assert.Equal(valid,
            AdoptedGroupEvent.TryParse(NostrEvent.Create(key, 445, [["h", new string('a', 64)], ["expiration", value]], content, 1), out _, out _));
        Assert.False(
            AdoptedGroupEvent.TryParse(
                NostrEvent.Create(key, 445, [["h", new string('a', 64)], ["expiration", "1"], ["expiration", "1"]], content, 1), out _, out _));
        Assert.False(AdoptedGroupEvent.TryParse(NostrEvent.Create(key, 445, [["h", new string('a', 64)], ["expiration", "1", "2"]], content, 1), out _, out _));
        Assert.False(AdoptedGroupEvent.TryParse(NostrEvent.Create(key, 445, [], content, 1), out _, out _));
        Assert.False(AdoptedGroupEvent.TryParse(NostrEvent.Create(key, 446, [["h", new string('a', 64)]], content, 1), out _, out _));
    }

    private static readonly ushort[] Extensions = [0x0003, 0x0006, 0xf2d1, 0xf2d2, 0xf2d4];
    private static readonly ushort[] Proposals = [0x000a, 0x0008];
    private static readonly ushort[] Components = [0x0001, 0x8001, 0x8002, 0x8003, 0x8004, 0x8005, 0x8006, 0x8007, 0x8008, 0x8009, 0x800b, 0x800c];

    [Fact]
    public void Key_package_events_of_mdk_are_read_and_written_alike()
    {
        foreach (var item in File.GetProperty("key_packages").EnumerateArray())
        {
            var evt = Event(item.GetProperty("event"));
            Assert.True(AdoptedKeyPackageEvent.TryRead(evt, out var read, out var reason), reason.ToString());
            Assert.Equal(item.Text("ref"), read.Reference.ToString());
            Assert.Equal(item.Bytes("mls_message"), read.MlsMessage.ToArray());
            byte[] identity = item.Bytes("nostr_pubkey");
            Assert.True(read.Agrees(item.Bytes("ref"), identity, [.. Extensions, 0x1a1a], Proposals, Components));
            Assert.False(read.Agrees(item.Bytes("ref"), identity, Extensions[1..], Proposals, Components));
            Assert.False(read.Agrees(item.Bytes("ref"), identity, Extensions, [.. Proposals, 9], Components));
            Assert.False(read.Agrees(item.Bytes("ref"), identity, Extensions, Proposals, Components[..^1]));
            Assert.False(read.Agrees(new byte[32], identity, Extensions, Proposals, Components));
            Assert.False(read.Agrees(item.Bytes("ref"), new byte[32], Extensions, Proposals, Components));

            using var account = SecretKey.Generate();
            var ours = AdoptedKeyPackageEvent.Create(account, read.Slot, read.Reference, Extensions.Reverse(), [.. Proposals, 0x2a2a], Components,
                read.MlsMessage.Span, evt.CreatedAt);
            Assert.Equal(evt.Tags.Select(t => string.Join(' ', t)), ours.Tags.Select(t => string.Join(' ', t)));
            Assert.Equal(evt.Content, ours.Content);
            Assert.True(AdoptedKeyPackageEvent.TryRead(ours, out _, out _));
        }
    }

    [Fact]
    public void A_key_package_event_has_exactly_its_tags_and_ascending_lists()
    {
        using var account = SecretKey.Generate();
        var good = AdoptedKeyPackageEvent.Create(account, Bytes32.ParseHex(new string('1', 64)), Bytes32.ParseHex(new string('2', 64)), Extensions, Proposals,
            Components, [0, 1, 0, 5, 9], 1);
        Assert.True(Reads(good.Tags, good.Content));
        Assert.True(Reads([.. good.Tags.Reverse()], good.Content)); // their order means nothing

        Assert.False(Reads([.. good.Tags, ["encoding", "base64"]], good.Content));
        Assert.False(Reads([.. good.Tags, ["client", "x"]], good.Content));
        Assert.False(Reads([.. good.Tags, ["d", new string('1', 64)]], good.Content));
        foreach (string[] tag in good.Tags)
        {
            Assert.False(Reads([.. good.Tags.Where(t => t != tag)], good.Content), tag[0]);
            Assert.False(Reads([.. good.Tags.Select(t => t == tag ? [.. t, "0x"] : t)], good.Content), tag[0]);
        }

        Assert.False(Reads(With("d", "slot"), good.Content));
        Assert.False(Reads(With("i", new string('A', 64)), good.Content));
        Assert.False(Reads(With("mls_protocol_version", "1.1"), good.Content));
        Assert.False(Reads(With("mls_ciphersuite", "0x0002"), good.Content));
        Assert.False(Reads(With("mls_extensions", "0x0006", "0x0003"), good.Content));
        Assert.False(Reads(With("mls_extensions", "0x0006", "0x0006"), good.Content));
        Assert.False(Reads(With("mls_extensions", "0x6"), good.Content));
        Assert.False(Reads(With("mls_extensions", "0x00FA"), good.Content));
        Assert.False(Reads(With("app_components", "0x0001", "0x8001"), good.Content));
        Assert.False(Reads(good.Tags, Convert.ToBase64String([0, 1, 0, 3, 9])));
        Assert.False(Reads(good.Tags, good.Content + "\n"));
        Assert.False(Reads(good.Tags, ""));
        Assert.False(AdoptedKeyPackageEvent.TryRead(NostrEvent.Create(account, 443, good.Tags, good.Content, 1), out _, out _));
        Assert.True(
            NostrEvent.TryParse(
                System.Text.Encoding.UTF8.GetBytes(System.Text.Encoding.UTF8.GetString(good.Json.Span)
                    .Replace("\"created_at\":1,", "\"created_at\":2,", StringComparison.Ordinal)), out var forged, out _));
        Assert.False(AdoptedKeyPackageEvent.TryRead(forged, out _, out _));

        bool Reads(IReadOnlyList<string[]> tags, string content) =>
            AdoptedKeyPackageEvent.TryRead(NostrEvent.Create(account, 30443, tags, content, 1), out _, out _);
        IReadOnlyList<string[]> With(string name, params string[] values) => [.. good.Tags.Select(t => t[0] == name ? (string[])[name, .. values] : t)];
    }
}
