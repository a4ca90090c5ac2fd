using System.Globalization;
using System.Text.Json;
using Marmot.Client.Groups;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Groups;

/// <summary>Whole groups recorded from other implementations, replayed through the client from the gift wrap to the last refused message.</summary>
public sealed class RecordedGroupTests
{
    private static readonly JsonElement Mdk = VectorFile.Read("mls-group-p2-mdk-shape.json");
    private static readonly JsonElement MarmotTs = VectorFile.Read("mls-group-p2-marmot-ts.json");

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task The_group_in_the_shape_of_MDK_replays_completely()
    {
        await using var erin = new Erin(Mdk);
        await JoinAsync(erin, Mdk);
        foreach (var message in Mdk.GetProperty("messages").EnumerateArray().Skip(1))
        {
            var report = await erin.ShowAsync(message.Event("event_445"));
            var expected = message.TryGetProperty("rumor", out _) ? GroupOutcome.Message : message.TryGetProperty("proposal_ref", out _) ? GroupOutcome.Proposal : GroupOutcome.Commit;
            Assert.Equal(expected, Assert.Single(report.Incidents).Outcome);
            if (expected == GroupOutcome.Message)
            {
                Assert.Equal(message.GetProperty("rumor").ToRumor().Id, Assert.Single(report.Messages).Rumor.Id);
            }

            AssertEpoch(erin, Mdk);
        }

        Assert.Equal(7ul, erin.Client.GetState(erin.Group).Epoch);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task What_must_be_refused_is_refused_and_leaves_the_epoch_as_it_is()
    {
        await using var erin = new Erin(Mdk);
        await JoinAsync(erin, Mdk);
        await erin.ShowAsync([.. Mdk.GetProperty("messages").EnumerateArray().Skip(1).Select(message => message.Event("event_445"))]);
        var before = erin.Client.GetState(erin.Group);
        Assert.Equal(7ul, before.Epoch);
        byte[] key = Mdk.GetProperty("epochs").EnumerateArray().Last().Bytes("marmot_group_event_key");
        foreach (var refused in Mdk.GetProperty("must_reject_after_last_epoch").EnumerateArray())
        {
            var evt = GroupEvent.Create(key, before.NostrGroupId, refused.Bytes("mls_message"), Mdk.GetProperty("clock").GetInt64() + 30);
            var report = await erin.ShowAsync(evt);
            var incident = Assert.Single(report.Incidents);
            Assert.True(incident.Outcome == GroupOutcome.Refused && incident.Reason.Length > 0, $"{refused.Text("name")}: {incident}");
            Assert.Empty(report.Messages);
            Assert.Equal((before.Epoch, before.EpochAuthenticator), (erin.Client.GetState(erin.Group).Epoch, erin.Client.GetState(erin.Group).EpochAuthenticator));
        }
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task The_group_of_marmot_ts_replays_up_to_the_commit_that_lacks_its_path()
    {
        await using var erin = new Erin(MarmotTs);
        await JoinAsync(erin, MarmotTs);
        var messages = MarmotTs.GetProperty("messages").EnumerateArray().Skip(1).ToList();
        var good = messages.TakeWhile(message => !message.TryGetProperty("rfc9420_valid", out _)).ToList();
        foreach (var message in good)
        {
            var report = await erin.ShowAsync(message.Event("event_445"));
            if (message.TryGetProperty("rumor", out var rumor))
            {
                Assert.Equal(rumor.Text("id"), Assert.Single(report.Messages).Rumor.Id.ToString());
            }

            Assert.DoesNotContain(report.Incidents, incident => incident.Outcome == GroupOutcome.Refused);
        }

        // The second of the racing commits has the smaller id and came last: the epoch was taken back.
        AssertEpoch(erin, MarmotTs);
        Assert.Equal(4ul, erin.Client.GetState(erin.Group).Epoch);
        var quirk = await erin.ShowAsync(messages[good.Count].Event("event_445"));
        Assert.Equal(new GroupIncident(messages[good.Count].Event("event_445").Id, GroupOutcome.Refused, "PathRequired"), Assert.Single(quirk.Incidents));
        Assert.Equal(4ul, erin.Client.GetState(erin.Group).Epoch);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [Trait("Spec", "MIP-03")]
    public async Task In_any_order_and_twice_over_the_recorded_events_lead_to_the_same_state(int seed)
    {
        foreach (var (file, epoch) in new[] { (Mdk, 7ul), (MarmotTs, 4ul) })
        {
            await using var erin = new Erin(file);
            await JoinAsync(erin, file);
            var events = file.GetProperty("messages").EnumerateArray().Skip(1).Select(message => message.Event("event_445")).ToList();
            var shuffled = events.Concat(events).ToArray();
            new Random(seed).Shuffle(shuffled);
            foreach (var part in shuffled.Chunk(3))
            {
                await erin.ShowAsync(part);
            }

            await erin.ShowAsync();
            Assert.Equal(epoch, erin.Client.GetState(erin.Group).Epoch);
            AssertEpoch(erin, file);
            // What came more than five epochs late is lost: its keys are gone. Everything else is there, once.
            var read = erin.Client.GetMessages(erin.Group).Select(message => message.Rumor.Id.ToString()).ToList();
            Assert.Equal(read.Distinct(), read);
            foreach (var message in file.GetProperty("messages").EnumerateArray().Where(message => message.TryGetProperty("rumor", out _)))
            {
                ulong sentIn = ulong.Parse(message.Text("encrypted_under_epoch"), CultureInfo.InvariantCulture);
                Assert.True(sentIn > epoch || sentIn + 5 < epoch || read.Contains(message.GetProperty("rumor").Text("id")), message.Text("label"));
            }
        }
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task Messages_in_the_envelope_of_the_first_generation_are_read()
    {
        await using var erin = new Erin(MarmotTs);
        await JoinAsync(erin, MarmotTs);
        var message = MarmotTs.GetProperty("messages")[1];
        using var key = SecretKey.Generate();
        var state = erin.Client.GetState(erin.Group);
        var evt = NostrEvent.Create(key, GroupEvent.Kind, [["h", state.NostrGroupId.ToString()]], message.Text("legacy_445_content_nip44"), MarmotTs.GetProperty("clock").GetInt64());
        var report = await erin.ShowAsync(evt);
        Assert.Equal(message.GetProperty("rumor").Text("id"), Assert.Single(report.Messages).Rumor.Id.ToString());
    }

    private static async Task JoinAsync(Erin erin, JsonElement file)
    {
        var welcome = file.GetProperty("welcomes").EnumerateArray().Single(one => one.Text("for") == "erin");
        Assert.True(SecretKey.TryParse(file.GetProperty("key_packages").GetProperty("alice").Text("nostr_secret_key"), out var alice));
        using (alice)
        {
            // Not every recorded Welcome has its wrap.
            var wrap = welcome.TryGetProperty("giftwrap", out var recorded) ? recorded.Event("wrap") : GiftWrap.Create(welcome.GetProperty("rumor_444").ToRumor(), alice, erin.Client.PublicKey, TimeProvider.System);
            var report = await erin.WelcomeAsync(wrap);
            AssertJoined(erin, file, report);
        }
    }

    private static void AssertJoined(Erin erin, JsonElement file, JoinReport report)
    {
        Assert.Empty(report.Failed);
        var joined = Assert.Single(report.Joined);
        Assert.Equal(file.Text("mls_group_id"), joined.State.GroupId);
        Assert.True(joined.State.NeedsSelfUpdate);
        AssertEpoch(erin, file);
    }

    private static void AssertEpoch(Erin erin, JsonElement file)
    {
        var state = erin.Client.GetState(erin.Group);
        var expected = file.GetProperty("epochs").EnumerateArray().Single(epoch => epoch.GetProperty("epoch").ToString() == state.Epoch.ToString(CultureInfo.InvariantCulture));
        Assert.Equal(expected.Text("tree_hash"), state.TreeHash);
        Assert.Equal(expected.Text("confirmed_transcript_hash"), state.ConfirmedTranscriptHash);
        Assert.Equal(expected.Text("epoch_authenticator"), state.EpochAuthenticator);
        Assert.Equal(expected.GetProperty("members").EnumerateArray().Select(member => member.Text("pubkey")), state.Leaves.Select(leaf => leaf.PublicKey.ToString()));
    }
}
