using System.Text.Json;
using Marmot.Client.KeyPackages;
using Marmot.Client.Profiles;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Vectors;

[Trait("Spec", "MIP-00")]
public class KeyPackageVectorTests
{
    private static readonly JsonElement File = VectorFile.Read("keypackage-events-p2.json");

    // Cases whose verdict the collection leaves to the reader, and ours.
    private static readonly Dictionary<string, bool> Choices = new()
    {
        ["d-not-hex"] = true, // marmot-ts writes such; nothing depends on its form
        ["no-mls-proposals"] = true, // marmot-ts again: its leaves then lack self_remove, and the group is made accordingly
        ["no-relays"] = false, // as MDK
        ["443-no-i-no-proposals"] = true,
        ["lifetime-90-days"] = true,
        ["leaf-lacks-self-remove-capability"] = true, // usable only where self_remove is not required
    };

    [Fact]
    public void Decides_every_published_key_package_event()
    {
        var cases = File.GetProperty("cases");
        Assert.Equal(35, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            string name = vector.Text("name");
            bool expected = Choices.TryGetValue(name, out bool choice) ? choice : vector.Text("expect").StartsWith("accept", StringComparison.Ordinal);
            bool accepted = KeyPackageEvent.TryRead(vector.Event("event"), File.Clock(), out var read, out string reason);
            Assert.Equal((name, expected), (name, accepted));
            Assert.True(accepted || reason.Length > 0, name);
            Assert.Equal(accepted ? vector.Event("event").PublicKey : null, read?.Owner);
        }
    }

    [Fact]
    public void Knows_which_leaves_cannot_self_remove()
    {
        foreach (var vector in File.GetProperty("cases").EnumerateArray())
        {
            if (KeyPackageEvent.TryRead(vector.Event("event"), File.Clock(), out var read, out _))
            {
                Assert.Equal((vector.Text("name"), vector.Text("name") != "leaf-lacks-self-remove-capability"), (vector.Text("name"), read.SupportsSelfRemove));
            }
        }
    }

    [Fact]
    public void Refuses_every_published_event_once_a_byte_of_it_is_changed()
    {
        var good = File.GetProperty("cases")[0].Event("event");
        string json = System.Text.Encoding.UTF8.GetString(good.Json.Span);
        string changed = json.Replace(good.Content[..12], good.Content[..11] + (good.Content[11] == 'A' ? 'B' : 'A'), StringComparison.Ordinal);
        Assert.True(NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(changed), out var forged, out _));
        Assert.False(KeyPackageEvent.TryRead(forged, File.Clock(), out _, out string reason));
        Assert.Equal("the event's id or signature is wrong", reason);
    }

    [Fact]
    public void Picks_the_published_one_of_several()
    {
        var selections = File.GetProperty("selection");
        Assert.Equal(3, selections.GetArrayLength());
        foreach (var vector in selections.EnumerateArray())
        {
            var events = vector.GetProperty("events").EnumerateArray().Select(element => element.Event()).ToList();
            Assert.Equal(vector.Key("pick"), KeyPackageEvent.Select(events, File.Clock())?.Event.Id);
            events.Reverse();
            Assert.Equal(vector.Key("pick"), KeyPackageEvent.Select(events, File.Clock())?.Event.Id);
        }
    }

    [Theory]
    [InlineData("mls-group-p2-mdk-shape.json", "event_443")]
    [InlineData("mls-group-p2-marmot-ts.json", "event_443_same_content")]
    public void Reads_the_key_packages_of_both_peers_in_both_kinds(string file, string copy)
    {
        var vectors = VectorFile.Read(file);
        foreach (var member in vectors.GetProperty("key_packages").EnumerateObject())
        {
            foreach (string name in new[] { "event_30443", copy })
            {
                Assert.True(KeyPackageEvent.TryRead(member.Value.Event(name), vectors.Clock(), out var read, out string reason), $"{member.Name}: {reason}");
                Assert.Equal(member.Value.Key("key_package_ref"), read.Reference);
                Assert.Equal(member.Value.Key("nostr_pubkey"), read.Owner);
                Assert.Equal(file.Contains("mdk", StringComparison.Ordinal), read.SupportsSelfRemove);
            }
        }
    }

    [Fact]
    public void The_key_packages_captured_from_mdk_verify_and_have_the_reference_of_their_tag()
    {
        var capture = VectorFile.Read("mdk-0.7.1-protocol-vectors.json");
        var cases = capture.GetProperty("key_package").GetProperty("cases").EnumerateArray()
            .Select(one => (one.Text("event_content_base64"), one.GetProperty("event_tags"), one.Text("nostr_pubkey"))).ToList();
        var lifecycle = capture.GetProperty("group_lifecycle");
        var step = Step(lifecycle, "bob_key_package");
        cases.Add((step.Text("event_content"), step.GetProperty("event_tags"), lifecycle.Text("bob_pubkey")));
        Assert.Equal(4, cases.Count);
        foreach (var (content, tags, owner) in cases)
        {
            byte[] bytes = Convert.FromBase64String(content);
            Assert.True(KeyPackage.TryRead(bytes, out var keyPackage, out _));
            Assert.Equal(bytes, keyPackage!.ToBytes());
            var now = DateTimeOffset.FromUnixTimeSeconds((long)keyPackage.Leaf.Lifetime.NotBefore + 3600);
            Assert.Equal(MlsError.None, keyPackage.Verify(now));
            Assert.Equal(7_261_200ul, keyPackage.Leaf.Lifetime.NotAfter - keyPackage.Leaf.Lifetime.NotBefore);
            Assert.True(MarmotIdentity.TryRead(keyPackage.Leaf.Credential, out var identity));
            Assert.Equal(owner, identity.ToString());
            Assert.True(keyPackage.IsLastResort);
            Assert.True(keyPackage.Leaf.Capabilities.SupportsExtension(GroupData.ExtensionType));

            // The same content and tags under a key of ours: every check but that of the owner passes.
            using var stranger = SecretKey.Generate();
            string[][] copied = [.. tags.EnumerateArray().Select(tag => tag.EnumerateArray().Select(item => item.GetString()!).ToArray())];
            var evt = NostrEvent.Create(stranger, ProfileDetector.KeyPackageKind, copied, content, now.ToUnixTimeSeconds());
            Assert.False(KeyPackageEvent.TryRead(evt, now, out _, out string reason));
            Assert.Equal("the credential is not the event's author", reason);
            Assert.Equal(copied.Single(tag => tag[0] == "i")[1], Convert.ToHexStringLower(keyPackage.Reference()));
        }
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public void The_welcome_and_the_group_event_captured_from_mdk_are_read()
    {
        var lifecycle = VectorFile.Read("mdk-0.7.1-protocol-vectors.json").GetProperty("group_lifecycle");
        byte[] welcome = Convert.FromBase64String(Step(lifecycle, "alice_creates_group").Text("event_content"));
        Assert.True(MlsMessage.TryRead(welcome, out var message, out _));
        Assert.Equal(WireFormat.Welcome, message!.WireFormat);
        Assert.Equal(welcome, message.ToBytes());

        // It is for Bob's key package: whoever has another is told so, before any key is tried.
        using var other = Marmot.Client.Groups.MipGroup.CreateKeyPackage(lifecycle.Key("alice_pubkey"), lastResort: true,
            DateTimeOffset.UnixEpoch.AddYears(56));
        Assert.False(Marmot.Mls.Groups.Group.TryJoin(message, other, new Marmot.Mls.Groups.JoinRequest { Rules = Marmot.Client.Groups.MipGroup.Rules }, out _,
            out var error));
        Assert.Equal(MlsError.NotForThisKeyPackage, error);
        Assert.Contains(Step(lifecycle, "bob_key_package").GetProperty("event_tags").EnumerateArray().Single(tag => tag[0].GetString() == "i")[1].GetString()!,
            Convert.ToHexStringLower(welcome), StringComparison.Ordinal);

        var sent = Step(lifecycle, "alice_sends_message");
        using var oneTime = SecretKey.Generate();
        string[][] tags = [.. sent.GetProperty("event_tags").EnumerateArray().Select(tag => tag.EnumerateArray().Select(item => item.GetString()!).ToArray())];
        Assert.True(GroupEvent.TryParse(NostrEvent.Create(oneTime, GroupEvent.Kind, tags, sent.Text("event_content"), 1_780_000_000), out var envelope, out _));
        Assert.Equal(Step(lifecycle, "alice_creates_group").Key("nostr_group_id"), envelope.NostrGroupId);
        Assert.False(envelope.TryOpen(new byte[GroupEvent.KeySize], out _));
    }

    private static JsonElement Step(JsonElement lifecycle, string name) =>
        lifecycle.GetProperty("steps").EnumerateArray().Single(step => step.Text("name") == name);
}
