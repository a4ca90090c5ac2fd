using System.Text.Json;
using Marmot.Client.KeyPackages;
using Marmot.Client.Profiles;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.KeyPackages;

public sealed class KeyPackageEventTests
{
    private static readonly JsonElement File = VectorFile.Read("keypackage-events-p2.json");
    private static readonly DateTimeOffset Clock = DateTimeOffset.FromUnixTimeSeconds(File.GetProperty("clock").GetInt64());

    public static TheoryData<string> Cases => [.. File.GetProperty("cases").EnumerateArray().Select(one => one.Text("name"))];

    [Theory]
    [MemberData(nameof(Cases))]
    [Trait("Spec", "MIP-00")]
    public void Every_recorded_key_package_event_gets_its_verdict(string name)
    {
        var one = File.GetProperty("cases").EnumerateArray().Single(one => one.Text("name") == name);
        bool accepted = KeyPackageEvent.TryRead(one.Event("event"), Clock, out var read, out string reason);

        // Where MDK and marmot-ts differ, both are taken: a free d tag, and no proposals tag on a leaf that then counts as one without self_remove.
        bool expected = one.Text("expect") is { } expect
            && (expect.StartsWith("accept", StringComparison.Ordinal) || expect.StartsWith("legacy leaf", StringComparison.Ordinal) || name is "d-not-hex" or "no-mls-proposals");
        Assert.True(accepted == expected, $"{name}: expected {one.Text("expect")}, {reason}");
        Assert.Equal(accepted, reason.Length == 0);
        if (name == "leaf-lacks-self-remove-capability")
        {
            Assert.False(read!.SupportsSelfRemove);
        }
    }

    [Fact]
    [Trait("Spec", "MIP-00")]
    public void The_best_of_several_key_packages_is_chosen_as_recorded()
    {
        foreach (var selection in File.GetProperty("selection").EnumerateArray())
        {
            var events = selection.GetProperty("events").EnumerateArray().Select(evt => evt.ToEvent()).ToList();
            for (int turn = 0; turn < events.Count; turn++)
            {
                events = [.. events.Skip(1), events[0]];
                Assert.Equal(selection.Text("pick"), KeyPackageEvent.Select(events, Clock)?.Event.Id.ToString());
            }
        }
    }

    [Fact]
    [Trait("Spec", "MIP-00")]
    public void The_key_packages_captured_from_MDK_parse_verify_and_have_their_reference()
    {
        var capture = VectorFile.Read("mdk-0.7.1-protocol-vectors.json");
        foreach (var one in capture.GetProperty("key_package").GetProperty("cases").EnumerateArray())
        {
            Assert.True(KeyPackage.TryRead(one.Bytes("serialized_key_package_hex"), out var package, out _));
            Assert.Equal(MlsError.None, package!.Verify(null));
            Assert.Equal(one.Text("key_package_ref"), "20" + Convert.ToHexStringLower(package.Reference()));
            Assert.Equal(one.Text("event_content_base64"), Convert.ToBase64String(package.ToBytes()));
            Assert.Equal(one.Text("nostr_pubkey"), Convert.ToHexStringLower(package.Leaf.Credential.Content));
        }

        var welcome = capture.GetProperty("group_lifecycle").GetProperty("steps").EnumerateArray().Single(step => step.Text("name") == "alice_creates_group");
        Assert.True(MlsMessage.TryRead(Convert.FromBase64String(welcome.Text("event_content")), out var message, out _));
        Assert.Equal(WireFormat.Welcome, message!.WireFormat);
    }

    [Fact]
    [Trait("Spec", "MIP-00")]
    public void Each_recorded_event_tells_its_generation()
    {
        foreach (var one in VectorFile.Read("profile-detection.json").GetProperty("cases").EnumerateArray())
        {
            var evt = one.Event("event");
            string profile = one.Text("profile");
            if (evt.Kind == Marmot.Protocol.Groups.GroupEvent.Kind)
            {
                Assert.True(Marmot.Protocol.Groups.GroupEvent.TryParse(evt, out var envelope, out _));
                Assert.True(profile != "P1" || ProfileDetector.MayBeLegacyEnvelope(envelope), one.Text("name"));
                continue;
            }

            var expected = profile switch { "P1" => MarmotProfile.Legacy, "P2" => MarmotProfile.Mip, "adopted" => MarmotProfile.Adopted, _ => MarmotProfile.Unknown };
            Assert.True(expected == ProfileDetector.OfKeyPackage(evt), $"{one.Text("name")}: {ProfileDetector.OfKeyPackage(evt)}");
        }
    }
}
