using System.Text.Json;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Codec;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Vectors;

/// <summary>Two published groups, replayed through the whole client: gift wrap, Welcome, envelopes, commits, messages, races, refusals.</summary>
public sealed class GroupVectorTests : IAsyncLifetime
{
    private const string Mdk = "mls-group-p2-mdk-shape.json";
    private const string MarmotTs = "mls-group-p2-marmot-ts.json";

    private readonly List<Replay> _replays = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var replay in _replays)
        {
            await replay.DisposeAsync();
        }
    }

    [Theory]
    [Trait("Spec", "MIP-02")]
    [InlineData(Mdk, "bob")]
    [InlineData(Mdk, "carol")]
    [InlineData(Mdk, "erin")]
    [InlineData(Mdk, "dave")]
    [InlineData(MarmotTs, "bob")]
    [InlineData(MarmotTs, "erin")]
    [InlineData(MarmotTs, "carol")]
    public async Task Every_published_welcome_leads_to_the_published_epoch(string file, string name)
    {
        var replay = await JoinAsync(file, name);
        replay.AssertEpoch(replay.JoinEpoch);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task The_mdk_shaped_group_is_followed_epoch_by_epoch()
    {
        var erin = await JoinAsync(Mdk, "erin");
        foreach (var message in erin.File.GetProperty("messages").EnumerateArray().Skip(1))
        {
            var report = await erin.ReceiveAsync(message.Event("event_445"));
            Assert.Single(report.Incidents);
            Assert.NotEqual(GroupOutcome.Refused, report.Incidents[0].Outcome);
            if (message.TryGetProperty("rumor", out var rumor))
            {
                Assert.Equal(rumor.Key("id"), Assert.Single(report.Messages).Rumor.Id);
                Assert.Equal(rumor.Text("content"), report.Messages[0].Rumor.Content);
            }
            else if (message.TryGetProperty("has_path", out _))
            {
                erin.AssertEpoch(Epoch(message) + 1);
            }
            else
            {
                Assert.Equal(GroupOutcome.Proposal, report.Incidents[0].Outcome);
            }
        }

        Assert.Equal(7ul, erin.State.Epoch);
        Assert.Equal(3600ul, erin.State.DisappearingSeconds);
    }

    [Theory]
    [Trait("Spec", "MIP-03")]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task The_mdk_shaped_group_ends_alike_in_any_order_one_by_one_and_with_everything_twice(int seed)
    {
        var erin = await JoinAsync(Mdk, "erin");
        var events = erin.File.GetProperty("messages").EnumerateArray().Skip(1).Select(message => message.Event("event_445")).ToArray();
        if (seed == 0)
        {
            Array.Reverse(events);
        }
        else
        {
            new Random(seed).Shuffle(events);
        }

        foreach (var evt in events.Concat(events))
        {
            await erin.ReceiveAsync(evt);
        }

        // Epoch 1 is six epochs back by then when its messages come last of all: its keys are gone, and only those of the last five must be there.
        erin.AssertEpoch(7);
        var read = erin.Client.GetMessages(erin.GroupId).Select(message => message.Rumor.Id).ToHashSet();
        Assert.Subset(erin.RumorIds(fromEpoch: 1), read);
        Assert.Superset(erin.RumorIds(fromEpoch: 2), read);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task The_mdk_shaped_group_is_caught_up_with_in_one_look()
    {
        var erin = await JoinAsync(Mdk, "erin");
        var report = await erin.ReceiveAsync([.. erin.File.GetProperty("messages").EnumerateArray().Skip(1).Select(message => message.Event("event_445"))]);
        Assert.Equal(erin.RumorIds(fromEpoch: 1), report.Messages.Select(message => message.Rumor.Id).ToHashSet());
        erin.AssertEpoch(7);
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task The_published_messages_that_must_be_refused_are_refused_for_their_reason_and_change_nothing()
    {
        var reasons = new Dictionary<string, string>
        {
            ["non-admin-gce"] = "a change of the group by a non-admin",
            ["non-admin-remove"] = "a change of the members by a non-admin",
            ["non-admin-add"] = "a change of the members by a non-admin",
            ["non-admin-credential-change"] = nameof(MlsError.CredentialRefused),
            ["rumor-pubkey-spoof"] = "the inner event is not by the sender",
            ["app-payload-not-json"] = "the inner event: ",
            ["app-payload-signed-event"] = "the inner event: ",
            ["app-payload-id-mismatch"] = "the inner event: ",
            ["app-payload-h-tag"] = "the inner event carries an h tag",
        };
        var cases = VectorFile.Read(Mdk).GetProperty("must_reject_after_last_epoch");
        Assert.Equal(reasons.Count, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            var erin = await JoinAsync(Mdk, "erin");
            foreach (var message in erin.File.GetProperty("messages").EnumerateArray().Skip(1))
            {
                await erin.ReceiveAsync(message.Event("event_445"));
            }

            int messages = erin.Client.GetMessages(erin.GroupId).Count;
            var key = erin.Epochs.Last().Bytes("marmot_group_event_key");
            var report = await erin.ReceiveAsync(GroupEvent.Create(key, erin.File.Key("nostr_group_id"), vector.Bytes("mls_message"), 1_780_000_020));
            var incident = Assert.Single(report.Incidents);
            Assert.Equal((vector.Text("name"), GroupOutcome.Refused), (vector.Text("name"), incident.Outcome));
            Assert.StartsWith(reasons[vector.Text("name")], incident.Reason, StringComparison.Ordinal);
            Assert.Equal(messages, erin.Client.GetMessages(erin.GroupId).Count);
            erin.AssertEpoch(7);
        }
    }

    [Theory]
    [Trait("Spec", "MIP-03")]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [Trait("Clock", "Date")]
    public async Task The_group_of_marmot_ts_is_followed_until_the_commit_without_a_path(bool isLegacyEnvelope, bool loserFirst)
    {
        var erin = await JoinAsync(MarmotTs, "erin");
        string winner = erin.File.GetProperty("race").Text("winner");
        var messages = erin.File.GetProperty("messages").EnumerateArray().Skip(1).ToList();
        int race = messages.FindIndex(message => message.TryGetProperty("race", out _));
        if (messages[race].Event("event_445").Id.ToString() == winner == loserFirst)
        {
            (messages[race], messages[race + 1]) = (messages[race + 1], messages[race]);
        }

        var outcomes = new List<GroupOutcome>();
        foreach (var message in messages)
        {
            // In the first generation's envelope the events are other events: the race then goes by their ids, so it is left out.
            bool inRace = message.TryGetProperty("race", out _);
            if (isLegacyEnvelope && inRace && message.Event("event_445").Id.ToString() != winner)
            {
                continue;
            }

            var report = await erin.ReceiveAsync(isLegacyEnvelope ? Legacy(erin, message) : message.Event("event_445"));
            outcomes.AddRange(report.Incidents.Select(incident => incident.Outcome));
            if (message.TryGetProperty("rumor", out var rumor) && Epoch(message) < 6)
            {
                Assert.Equal(rumor.Text("content"), Assert.Single(report.Messages).Rumor.Content);
            }
            else if (message.TryGetProperty("has_path", out _) && !message.TryGetProperty("rfc9420_valid", out _))
            {
                erin.AssertEpoch(Epoch(message) + 1);
            }
        }

        erin.AssertEpoch(4);
        Assert.Equal(erin.File.GetProperty("race").Text("epoch_authenticator_after"), erin.State.EpochAuthenticator);
        Assert.Contains(isLegacyEnvelope ? GroupOutcome.Commit : loserFirst ? GroupOutcome.RolledBack : GroupOutcome.LostRace, outcomes);

        // The commit without a path is refused; what follows it belongs to an epoch that never comes.
        Assert.Equal([GroupOutcome.Refused, GroupOutcome.Parked, GroupOutcome.Parked, GroupOutcome.Parked], outcomes[^4..]);
    }

    [Theory]
    [Trait("Spec", "MIP-03")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_earlier_of_the_two_published_commits_wins_and_in_another_envelope_it_is_only_a_repetition(bool showsBoth)
    {
        var erin = await JoinAsync(MarmotTs, "erin");
        JsonElement earlier = default;
        foreach (var message in erin.File.GetProperty("messages").EnumerateArray().Skip(1).TakeWhile(message => Epoch(message) < 4))
        {
            if (message.TryGetProperty("event_445_earlier_variant", out var variant))
            {
                earlier = variant;
                if (!showsBoth)
                {
                    continue;
                }
            }

            await erin.ReceiveAsync(message.Event("event_445"));
        }

        erin.AssertEpoch(4);
        string before = erin.State.EpochAuthenticator;
        var report = await erin.ReceiveAsync(earlier.Event());
        Assert.Equal(4ul, erin.State.Epoch);
        Assert.Equal(showsBoth ? 0 : 1, report.Count(GroupOutcome.RolledBack));
        Assert.Equal(showsBoth, before == erin.State.EpochAuthenticator);
    }

    private static ulong Epoch(JsonElement message) => ulong.Parse(message.Text("encrypted_under_epoch"), System.Globalization.CultureInfo.InvariantCulture);

    private static NostrEvent Legacy(Replay replay, JsonElement message)
    {
        using var oneTime = SecretKey.Generate();
        return NostrEvent.Create(oneTime, GroupEvent.Kind, [["h", replay.File.Text("nostr_group_id")]], message.Text("legacy_445_content_nip44"),
            message.Event("event_445").CreatedAt);
    }

    private async Task<Replay> JoinAsync(string file, string name)
    {
        var replay = await Replay.JoinAsync(VectorFile.Read(file), name);
        _replays.Add(replay);
        return replay;
    }

    /// <summary>A client that has a published member's keys.</summary>
    private sealed class Replay : IAsyncDisposable
    {
        private readonly ClientStore _store = ClientStore.InMemory();
        private readonly MemoryNetwork _network = new();
        private readonly ManualClock _clock;

        private Replay(JsonElement file) => (File, _clock) = (file, new ManualClock(file.Clock().AddSeconds(30)));

        public JsonElement File { get; }

        public MarmotClient Client { get; private set; } = null!;

        public string GroupId => File.Text("mls_group_id");

        public ulong JoinEpoch { get; private set; }

        public GroupState State => Client.GetState(GroupId);

        public IEnumerable<JsonElement> Epochs => File.GetProperty("epochs").EnumerateArray();

        public static async Task<Replay> JoinAsync(JsonElement file, string name)
        {
            var replay = new Replay(file);
            var keys = file.GetProperty("key_packages").GetProperty(name);
            var welcome = file.GetProperty("welcomes").EnumerateArray().Single(one => one.Text("for") == name);
            replay.JoinEpoch = ulong.Parse(welcome.GetProperty("epoch").ToString(), System.Globalization.CultureInfo.InvariantCulture);
            using var account = Secret(keys.Bytes("nostr_secret_key"));
            replay.Client = MarmotClient.Create(replay._store, account, new AccountSettings { Relays = [Member.Relay] },
                _ => replay._network.Connect(), replay._clock);
            replay.Keep(keys);
            replay._network[Member.Relay]
                .Publish(welcome.TryGetProperty("giftwrap", out var wrap) ? wrap.Event("wrap") : Wrap(welcome, file, account.PublicKey, replay._clock));
            replay.RelayOfGroup = Assert.Single((await replay.Client.AcceptInvitesAsync()).Joined).State.Relays[0];
            return replay;
        }

        public string RelayOfGroup { get; private set; } = string.Empty;

        /// <summary>The relay shows these and nothing else.</summary>
        public Task<GroupReport> ReceiveAsync(params NostrEvent[] events)
        {
            Assert.All(events, evt => Assert.True(evt.TryVerify(out _)));
            var relay = _network[RelayOfGroup];
            foreach (var old in relay.Events)
            {
                relay.Forget(old.Id);
            }

            foreach (var evt in events)
            {
                relay.Publish(evt);
            }

            return Client.SyncAsync(GroupId);
        }

        public HashSet<Bytes32> RumorIds(ulong fromEpoch) =>
            [
                .. File.GetProperty("messages").EnumerateArray().Where(message => message.TryGetProperty("rumor", out _) && Epoch(message) >= fromEpoch)
                    .Select(message => message.GetProperty("rumor").Key("id"))
            ];

        /// <summary>Everything the file says of an epoch, against the state as stored.</summary>
        public void AssertEpoch(ulong epoch)
        {
            var expected = Epochs.Single(one => one.Text("epoch") == epoch.ToString(System.Globalization.CultureInfo.InvariantCulture));
            var state = State;
            Assert.Equal(epoch, state.Epoch);
            Assert.Equal(expected.Text("tree_hash"), state.TreeHash);
            Assert.Equal(expected.Text("confirmed_transcript_hash"), state.ConfirmedTranscriptHash);
            Assert.Equal(expected.Text("epoch_authenticator"), state.EpochAuthenticator);
            Assert.Equal(
                expected.GetProperty("members").EnumerateArray().Select(member => (member.GetProperty("leaf_index").GetInt32(), member.Key("pubkey"))),
                state.Leaves.Select(leaf => (leaf.Index, leaf.PublicKey)));

            using var session = GroupSession.Load(_store, _clock, Client.PublicKey, GroupId);
            Assert.Equal(expected.Bytes("marmot_group_event_key"), MipGroup.EnvelopeKey(session.Mls, epoch));
            Assert.Equal(expected.Bytes("marmot_encrypted_media_secret"), MipGroup.MediaSecret(session.Mls, epoch));
            byte[] data = expected.TryGetProperty("extension_0xf2ee", out var hex)
                ? Convert.FromHexString(hex.GetString()!)
                : expected.GetProperty("group_context_extensions").EnumerateArray().Single(one => one.Text("type") == "0xf2ee").Bytes("data");
            Assert.Equal(data, session.Mls.Extensions.Single(extension => extension.Type == GroupData.ExtensionType).Data);
            if (expected.TryGetProperty("legacy_nostr_exporter", out _))
            {
                Assert.Equal(expected.Bytes("legacy_nostr_exporter"), MipGroup.LegacyEnvelopeKey(session.Mls, epoch));
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            _store.Dispose();
        }

        // The private keys as the store keeps them behind the key package: init, encryption, signature.
        private void Keep(JsonElement keys)
        {
            var writer = new TlsWriter();
            writer.WriteOpaque(keys.Bytes("init_private_key"));
            writer.WriteOpaque(keys.Bytes("encryption_private_key"));
            writer.WriteOpaque(keys.Bytes("signature_private_key_seed"));
            byte[] secrets = [.. keys.Bytes("key_package"), .. writer.ToArray()];
            Assert.True(KeyPackageSecrets.TryRead(secrets, out var read));
            read!.Dispose();
            var evt = keys.Event("event_30443");
            var batch = new StoreBatch();
            batch.PutJson(
                KeyPackageRecord.Key(keys.Key("key_package_ref")),
                new KeyPackageRecord(secrets, evt.TagValue("d")!, IsLastResort: true, evt.Id, null, evt.CreatedAt, [Member.Relay]));
            _store.Commit(batch);
        }

        private static NostrEvent Wrap(JsonElement welcome, JsonElement file, in Bytes32 recipient, TimeProvider clock)
        {
            using var alice = Secret(file.GetProperty("key_packages").GetProperty("alice").Bytes("nostr_secret_key"));
            Assert.True(Rumor.TryParse(System.Text.Encoding.UTF8.GetBytes(welcome.GetProperty("rumor_444").GetRawText()), out var rumor, out _));
            return GiftWrap.Create(rumor, alice, recipient, clock);
        }

        private static SecretKey Secret(byte[] bytes) => SecretKey.TryCreate(bytes, out var key) ? key : throw new InvalidDataException("not a key");
    }
}
