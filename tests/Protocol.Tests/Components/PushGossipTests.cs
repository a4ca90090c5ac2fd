using System.Text.Json;
using Marmot.Protocol.Components;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Components;

[Trait("Spec", "marmot-push-v1, gossip")]
public class PushGossipTests
{
    private static readonly JsonElement File = VectorFile.Read("adopted/push-gossip.json").GetProperty("adopted");
    private static readonly byte[] GroupId = File.Bytes("mls_group_id");

    private static Rumor Inner(JsonElement item) => Rumor.Create(Bytes32.ParseHex(item.Text("pubkey")), item.GetProperty("kind").GetInt32(),
        [.. item.GetProperty("tags").EnumerateArray().Select(t => t.EnumerateArray().Select(i => i.GetString()!).ToArray())], item.GetProperty("content")
            .GetString()!, item.GetProperty("created_at").GetInt64());

    private static IReadOnlyList<PushTokenEntry>? Read(Rumor inner) => PushGossip.TryRead(inner, GroupId, out var entries, out _) ? entries : null;

    private static PushTokenEntry Single(JsonElement record, bool isRemoval)
    {
        string list = isRemoval ? "removals" : "tokens";
        var inner = Rumor.Create(default, isRemoval
            ? 449
            : 447, PushGossip.Tags, $$"""{"v":"marmot-push-v1","{{list}}":[{{record.GetProperty("entry").GetRawText()}}]}""", 1);
        return Assert.Single(Read(inner)!);
    }

    [Theory]
    [InlineData("""{"v":"marmot-push-v1","tokens":[{"member_id_hex":"\ud800"}]}""")]
    [InlineData("""{"v":"\ud800","tokens":[]}""")]
    [InlineData("""{"\ud800":"marmot-push-v1","tokens":[]}""")]
    public void Half_a_surrogate_pair_from_a_member_is_no_exception(string content) =>
        Assert.Empty(Read(Rumor.Create(default, 447, PushGossip.Tags, content, 1)) ?? []);

    [Fact]
    public void Records_and_removals_of_the_vectors_are_signed_and_have_their_digest()
    {
        foreach (var (list, isRemoval) in (ReadOnlySpan<(string, bool)>)[("records", false), ("removals", true)])
        {
            foreach (var record in File.GetProperty(list).EnumerateArray())
            {
                var entry = Single(record, isRemoval);
                Assert.Equal(isRemoval, entry.IsRemoval);
                Assert.Equal(record.GetProperty("owner_proof_event_451").Text("id"), entry.ProofId(GroupId).ToString());
                Assert.Equal(record.Bytes("signed_record"), entry.SignedRecord(GroupId));
                Assert.Equal(record.Text("signed_record_sha256"), entry.OrderingDigest(GroupId).ToString());
                Assert.Equal(record.GetProperty("entry").Text("token_fingerprint"),
                    "sha256:" + Convert.ToHexStringLower(PushTokenEntry.FingerprintOf(entry.Key.Platform, record.Bytes("device_token"))));
                Assert.False(entry.IsSignedFor([1, 2, 3])); // bound to the group
            }
        }
    }

    [Fact]
    public void The_removal_of_the_specification_has_its_id_and_signature()
    {
        var vector = File.GetProperty("spec_removal_vector");
        Assert.True(SecretKey.TryParse(vector.Text("secret_key"), out var owner));
        using var key = owner;
        byte[] groupId = Convert.FromHexString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        var entry = PushTokenEntry.Create(key, groupId, 3, DevicePlatform.Apns,
            Bytes32.ParseHex("2f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4"),
            Convert.FromHexString("000102030405060708090a0b"), null, null, 1_700_000_000_000);
        Assert.Equal(vector.Text("event_id"), entry.ProofId(groupId).ToString());
        Assert.True(entry.IsSignedFor(groupId));
        Assert.True((entry with { OwnerSignature = vector.Bytes("owner_sig") }).IsSignedFor(groupId));
    }

    [Theory]
    [InlineData("kind_447_two", 2)]
    [InlineData("kind_448", 2)]
    [InlineData("kind_449", 1)]
    [InlineData("empty_array_is_valid", 0)]
    [InlineData("thirty_three_entries_invalid", null)]
    [InlineData("wrong_version_invalid", null)]
    public void Payloads_have_the_recorded_verdict(string name, int? entries)
        => Assert.Equal(entries, Read(Inner(File.GetProperty("payloads").GetProperty(name)))?.Count);

    [Fact]
    public void An_entry_with_a_bad_signature_is_left_out_alone()
    {
        var inner = Inner(File.GetProperty("payloads").GetProperty("bad_sig_entry_skipped"));
        using var content = JsonDocument.Parse(inner.Content);
        int all = content.RootElement.GetProperty("tokens").GetArrayLength();
        Assert.Equal(all - 1, Read(inner)!.Count);
    }

    [Fact]
    public void Other_tags_kinds_and_content_are_invalid_as_a_whole()
    {
        const string content = """{"v":"marmot-push-v1","tokens":[]}""";
        Assert.NotNull(Read(Rumor.Create(default, 447, PushGossip.Tags, content, 1)));
        Assert.Null(Read(Rumor.Create(default, 446, PushGossip.Tags, content, 1)));
        Assert.Null(Read(Rumor.Create(default, 449, PushGossip.Tags, content, 1)));
        Assert.Null(Read(Rumor.Create(default, 447, [], content, 1)));
        Assert.Null(Read(Rumor.Create(default, 447, [.. PushGossip.Tags, ["e", "x"]], content, 1)));
        foreach (string bad in (string[])["", "[]", "{}", """{"v":"marmot-push-v1"}""", """{"v":"marmot-push-v1","tokens":{}}""", """{"v":1,"tokens":[]}"""])
        {
            Assert.Null(Read(Rumor.Create(default, 447, PushGossip.Tags, bad, 1)));
        }
    }

    [Fact]
    public void Entries_that_are_malformed_are_left_out_alone()
    {
        string good = File.GetProperty("records")[0].GetProperty("entry").GetRawText();
        foreach (var (from, to) in (ReadOnlySpan<(string, string)>)[
            ("\"apns\"", "\"web\""), ("\"leaf_index\": 0", "\"leaf_index\": -1"), ("\"leaf_index\": 0", "\"leaf_index\": \"0\""), ("sha256:b", "sha256:B"),
            ("sha256:b7", "sha256:"), ("\"owner_ts\": 1", "\"owner_ts\": -1"), ("\"encrypted_token\": \"X", "\"encrypted_token\": \""),
            ("member_id_hex", "member")])
        {
            string compact = good.Contains(from, StringComparison.Ordinal) ? good : good.Replace("\":", "\": ", StringComparison.Ordinal);
            Assert.Contains(from, compact, StringComparison.Ordinal);
            string content = $$"""{"v":"marmot-push-v1","tokens":[{{compact.Replace(from, to, StringComparison.Ordinal)}},5,null,{{good}}]}""";
            Assert.Single(Read(Rumor.Create(default, 447, PushGossip.Tags, content, 1))!);
        }
    }

    [Fact]
    public void What_is_written_is_read_again()
    {
        using var owner = SecretKey.Generate();
        using var server = SecretKey.Generate();
        byte[] token = [.. Enumerable.Range(0, 1084).Select(i => (byte)i)];
        byte[] print = PushTokenEntry.FingerprintOf(DevicePlatform.Fcm, "device"u8);
        var record = PushTokenEntry.Create(owner, GroupId, 7, DevicePlatform.Fcm, server.PublicKey, print, token, " wss://push.example ", 1000);
        Assert.Equal("wss://push.example", record.RelayHint); // MDK trims: never written with blanks
        var removal = PushTokenEntry.Create(owner, GroupId, 7, DevicePlatform.Fcm, server.PublicKey, print, null, "wss://push.example", 1001);
        Assert.Null(removal.RelayHint);

        var read = Assert.Single(Read(Rumor.Create(default, 448, PushGossip.Tags, PushGossip.Write(448, [record]), 1))!);
        Assert.Equal(record.OrderingDigest(GroupId), read.OrderingDigest(GroupId));
        Assert.Equal(record.Key, read.Key);
        read = Assert.Single(Read(Rumor.Create(default, 449, PushGossip.Tags, PushGossip.Write(449, [removal]), 1))!);
        Assert.True(read.IsRemoval);
        Assert.Throws<ArgumentException>(() => PushGossip.Write(447, [removal]));
        Assert.Throws<ArgumentException>(() => PushGossip.Write(447, [.. Enumerable.Repeat(record, 33)]));
    }

    [Fact]
    public void The_later_entry_holds_and_of_two_at_once_the_larger_digest()
    {
        var first = Single(File.GetProperty("records")[0], false);
        var later = first with { OwnerTimestamp = first.OwnerTimestamp + 1 };
        Assert.True(later.Replaces(first, GroupId));
        Assert.False(first.Replaces(later, GroupId));
        Assert.False(first.Replaces(first, GroupId));
        var twin = first with { Fingerprint = new byte[12] };
        Assert.NotEqual(twin.Replaces(first, GroupId), first.Replaces(twin, GroupId));
        Assert.Equal(twin.OrderingDigest(GroupId) > first.OrderingDigest(GroupId), twin.Replaces(first, GroupId));

        Assert.False(first.IsFromTheFuture(first.OwnerTimestamp - 3_600_000));
        Assert.True(first.IsFromTheFuture(first.OwnerTimestamp - 3_600_001));
    }
}
