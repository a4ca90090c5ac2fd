using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Groups;

[Trait("Spec", "MIP-03")]
public class GroupEventTests
{
    private static readonly JsonElement File = VectorFile.Read("kind445-envelope.json");
    private static readonly byte[] Key = File.Bytes("key");

    // What each case of kind445-envelope.json comes to: "ok", "undecryptable", or the refusal.
    private static readonly Dictionary<string, string> Expected = new()
    {
        ["p2-mdk"] = "ok",
        ["p2-marmot-ts"] = "ok",
        ["p2-expiration"] = "ok",
        ["two-h-tags"] = "more than one h tag",
        ["h-extra-value"] = "ok",
        ["no-h"] = "the h tag is missing",
        ["h-63-chars"] = "the h tag is not 64 lower-case hex digits",
        ["h-uppercase"] = "the h tag is not 64 lower-case hex digits", // MDK takes it, but no relay filter with lower-case hex ever finds it
        ["unknown-tag"] = "ok",
        ["27-bytes"] = "the content is not base64 of at least 28 bytes",
        ["28-bytes-empty-plaintext"] = "empty",
        ["not-base64"] = "the content is not base64 of at least 28 bytes",
        ["base64url-alphabet"] = "the content is not base64 of at least 28 bytes",
        ["base64-no-padding"] = "the content is not base64 of at least 28 bytes",
        ["base64-with-newline"] = "the content is not base64 of at least 28 bytes",
        ["tag-bitflip"] = "undecryptable",
        ["with-aad"] = "undecryptable",
        ["rewrapped-same-ciphertext"] = "ok",
        ["reencrypted-same-message"] = "ok",
        ["future-created-at"] = "ok", // the clock is the caller's
        ["46-days-old"] = "ok",
    };

    [Fact]
    public void Decides_every_published_envelope()
    {
        var cases = File.GetProperty("cases");
        Assert.Equal(Expected.Count, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            string name = vector.Text("name");
            Assert.Equal((name, Expected[name]), (name, Verdict(vector.GetProperty("event"))));
        }
    }

    [Fact]
    public void Seals_to_the_published_content() =>
        Assert.Equal(File.Text("content"), GroupEvent.Seal(Key, File.Bytes("nonce"), File.Bytes("plaintext")));

    [Fact]
    public void Reads_the_legacy_envelope_only_when_the_current_one_fails()
    {
        var legacy = File.GetProperty("legacy_p1");
        Assert.True(NostrEvent.TryParse(legacy.GetProperty("event").Utf8(), out var evt, out _));
        Assert.True(GroupEvent.TryParse(evt, out var group, out _));
        Assert.False(group.TryOpen(Key, out _));
        Assert.True(SecretKey.TryCreate(legacy.Bytes("exporter_secret"), out var exporter));
        using (exporter)
        {
            Assert.Equal(legacy.Text("pubkey"), exporter.PublicKey.ToString());
            Assert.True(group.TryOpenLegacy(exporter, out byte[]? message));
            Assert.Equal(legacy.Bytes("plaintext"), message);
        }

        using var stranger = SecretKey.Generate();
        Assert.False(group.TryOpenLegacy(stranger, out _));
    }

    [Fact]
    public void Returns_what_was_sealed_under_a_key_that_is_never_used_twice()
    {
        var authors = new HashSet<Bytes32>();
        var id = new Bytes32(File.Bytes("nostr_group_id"));
        for (int length = 0; length < 100; length++)
        {
            byte[] message = new byte[length];
            Random.Shared.NextBytes(message);
            var evt = GroupEvent.Create(Key, id, message, 1000 + length, expiration: length % 2 == 0 ? 5000 : null);
            Assert.True(evt.TryVerify(out _));
            Assert.True(authors.Add(evt.PublicKey));
            Assert.True(GroupEvent.TryParse(evt, out var group, out _));
            Assert.Equal(id, group.NostrGroupId);
            Assert.Equal(1000 + length, group.CreatedAt);
            Assert.Equal(length % 2 == 0 ? 5000 : null, group.Expiration);
            Assert.True(group.TryOpen(Key, out byte[]? opened));
            Assert.Equal(message, opened);
            Assert.False(group.TryOpen(new byte[32], out _));
        }
    }

    [Fact]
    public void Refuses_another_kind()
    {
        using var key = SecretKey.Generate();
        var evt = NostrEvent.Create(key, 444, [["h", new Bytes32(Key).ToString()]], File.Text("content"), 1);
        Assert.False(GroupEvent.TryParse(evt, out _, out _));
    }

    private static string Verdict(JsonElement json)
    {
        Assert.True(NostrEvent.TryParse(json.Utf8(), out var evt, out _));
        if (!GroupEvent.TryParse(evt, out var group, out var reason))
        {
            return reason.Text;
        }

        if (!group.TryOpen(Key, out byte[]? message))
        {
            return "undecryptable";
        }

        return message.Length == 0 ? "empty" : message.AsSpan().SequenceEqual(File.Bytes("plaintext")) ? "ok" : "wrong plaintext";
    }
}
