using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;

namespace Marmot.Client.Tests.Adopted;

/// <summary>Whole clients that speak the adopted profile, with relays in memory.</summary>
[Trait("Spec", "Adopted profile")]
public sealed class AdoptedClientTests : IAsyncLifetime
{
    private const string Relay = "ws://relay.test/";

    private readonly MemoryNetwork _network = new();
    private readonly FastClock _clock = new(40);
    private readonly List<Speaker> _speakers = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var speaker in _speakers)
        {
            await speaker.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_group_is_founded_with_several_members_who_talk_and_agree()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.SendAsync(group, "hello");
        await bob.Client.SendAsync(group, "hi alice");
        await carol.Client.SendAsync(group, "and me");
        await SyncAsync(group, alice, bob, carol);
        Assert.Equal(MarmotProfile.Adopted, bob.State(group).Profile);
        Assert.Equal(["and me", "hello", "hi alice"], bob.Texts(group));
        AssertAgree(group, alice, bob, carol);

        // The founding commit was of use to nobody and is on no relay.
        Assert.Equal(3, _network[Relay].Fetch(new Filter { Kinds = [445] }).Count);
    }

    [Fact]
    public async Task Everything_an_admin_changes_reaches_the_others()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.UpdateGroupAsync(group, new GroupChange { Name = "renamed", Description = "and described" });
        await alice.Client.SetRetentionAsync(group, 3600);
        await alice.Client.SetAvatarUrlAsync(group, "https://example.org/a.png");
        await alice.Client.UpdateGroupAsync(group, new GroupChange { Admins = [alice.Key, bob.Key] });
        await SyncAsync(group, bob);
        await bob.Client.UpdateGroupAsync(group,
            new GroupChange { NostrGroupId = new Protocol.Encoding.Bytes32([.. Enumerable.Range(1, 32).Select(one => (byte)one)]) });
        await SyncAsync(group, alice, carol);
        AssertAgree(group, alice, bob, carol);
        var state = carol.State(group);
        Assert.Equal(("renamed", "and described", (ulong?)3600), (state.Name, state.Description, state.DisappearingSeconds));
        Assert.True(state.HasImage);
        Assert.Equal(2, state.Admins.Count);
        await carol.Client.SendAsync(group, "under the new id");
        await SyncAsync(group, alice, bob);
        Assert.Contains("under the new id", alice.Texts(group));
        await Assert.ThrowsAsync<ClientException>(() => carol.Client.UpdateGroupAsync(group, new GroupChange { Name = "mine" }));
    }

    [Fact]
    public async Task Who_leaves_is_taken_out_by_others_and_who_is_removed_reads_nothing_more()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await bob.Client.LeaveAsync(group);
        await alice.Client.SyncAsync(group, commitLeaves: true);
        await SyncAsync(group, carol, bob);
        Assert.False(bob.State(group).IsActive);
        Assert.Equal(2, alice.State(group).Leaves.Count);
        await alice.Client.RemoveAsync(group, carol.Key);
        await SyncAsync(group, carol);
        await alice.Client.SendAsync(group, "alone");
        await SyncAsync(group, bob, carol);
        Assert.False(carol.State(group).IsActive);
        Assert.DoesNotContain("alone", carol.Texts(group));
        await Assert.ThrowsAsync<ClientException>(() => carol.Client.SendAsync(group, "still here"));
    }

    [Fact]
    public async Task A_removed_member_is_invited_again_and_follows()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.RemoveAsync(group, bob.Key);
        await SyncAsync(group, bob, carol);
        await alice.Client.InviteAsync(group, [bob.Key]);
        Assert.Single((await bob.Client.AcceptInvitesAsync()).Joined);
        await SyncAsync(group, carol);
        await bob.Client.SendAsync(group, "back");
        await SyncAsync(group, alice, carol);
        AssertAgree(group, alice, bob, carol);
        Assert.Contains("back", carol.Texts(group));
    }

    [Fact]
    public async Task Who_was_left_behind_knows_it_and_comes_back_by_a_new_invitation()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        carol.View.IsOffline = true;
        for (int i = 0; i < 8; i++)
        {
            await alice.Client.UpdateGroupAsync(group, new GroupChange { Name = $"name {i}" });
        }

        // Carol goes on alone, further than may be rewound: her relay shows nothing of the others.
        carol.View.IsOffline = false;
        carol.View.OnFetch = (_, _) => [];
        for (int i = 0; i < 7; i++)
        {
            await carol.Client.SelfUpdateAsync(group);
        }

        carol.View.OnFetch = null;
        await SyncAsync(group, carol, bob);
        Assert.True(carol.State(group).NeedsInvitation);
        Assert.NotEqual(alice.State(group).ConvergenceCommitment, carol.State(group).ConvergenceCommitment);
        await alice.Client.RemoveAsync(group, carol.Key);
        await alice.Client.InviteAsync(group, [carol.Key]);
        Assert.Single((await carol.Client.AcceptInvitesAsync()).Joined);
        await SyncAsync(group, bob);
        await carol.Client.SendAsync(group, "back");
        await SyncAsync(group, alice, bob);
        AssertAgree(group, alice, bob, carol);
        Assert.False(carol.State(group).NeedsInvitation);
        Assert.Contains("back", bob.Texts(group));
    }

    [Fact]
    public async Task A_second_welcome_into_a_group_that_is_joined_is_refused()
    {
        var (alice, bob, _, group) = await ThreeAsync();
        foreach (var wrap in await bob.Client.FetchGiftWrapsAsync())
        {
            Assert.True(Protocol.GiftWraps.GiftWrap.TryOpen(wrap, bob.SecretKey, out var rumor, out _));
            var again = Protocol.GiftWraps.GiftWrap.Create(rumor, alice.SecretKey, bob.Key, _clock);
            _network[Relay].Publish(again);
        }

        var before = bob.State(group);
        var report = await bob.Client.AcceptInvitesAsync();
        Assert.Empty(report.Joined);
        Assert.Equal("the Welcome was opened before", Assert.Single(report.Failed).Reason);
        Assert.Equal(before.ConvergenceCommitment, bob.State(group).ConvergenceCommitment);
    }

    [Fact]
    public async Task An_admin_ends_a_group_for_everybody()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.DisbandAsync(group);
        await SyncAsync(group, alice, bob, carol);
        foreach (var speaker in new[] { alice, bob, carol })
        {
            Assert.False(speaker.State(group).IsActive);
            await Assert.ThrowsAsync<ClientException>(() => speaker.Client.SendAsync(group, "nobody is here"));
        }

        await bob.RestartAsync();
        Assert.False(bob.State(group).IsActive);
    }

    [Fact]
    public async Task Two_admins_who_change_the_group_at_once_end_together_and_nothing_is_lost()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await alice.Client.UpdateGroupAsync(group, new GroupChange { Admins = [alice.Key, bob.Key] });
        await SyncAsync(group, bob, carol);
        await Task.WhenAll(
            alice.Client.UpdateGroupAsync(group, new GroupChange { Name = "by alice" }),
            bob.Client.UpdateGroupAsync(group, new GroupChange { DisappearingSeconds = 7200 }));
        for (int i = 0; i < 3; i++)
        {
            await SyncAsync(group, alice, bob, carol);
        }

        AssertAgree(group, alice, bob, carol);
        Assert.Equal("by alice", carol.State(group).Name);
        Assert.Equal(7200ul, carol.State(group).DisappearingSeconds);
    }

    [Fact]
    public async Task Messages_of_a_group_with_retention_are_gone_when_they_are_due()
    {
        var (alice, bob, _, group) = await ThreeAsync();
        await alice.Client.SetRetentionAsync(group, 100_000);
        await alice.Client.SendAsync(group, "not for long");
        await SyncAsync(group, bob);
        Assert.Contains("not for long", bob.Texts(group));
        var evt = _network[Relay].Fetch(new Filter { Kinds = [445] }).OrderBy(one => one.CreatedAt).Last(one => one.Tags.Count == 2);
        Assert.Equal(["expiration", (evt.CreatedAt + 100_000).ToString(System.Globalization.CultureInfo.InvariantCulture)], evt.Tags[1]);
    }

    [Fact]
    public async Task An_account_publishes_one_profile_on_kind_30443_and_moves_to_the_other_slot_by_slot()
    {
        var alice = await StartAsync(MarmotProfile.Mip);
        await alice.Client.PublishKeyPackageAsync(new string('a', 64));
        Assert.All(Own(alice), evt => Assert.Equal(MarmotProfile.Mip, ProfileDetector.OfKeyPackage(evt)));
        await alice.Client.MoveToAdoptedAsync();
        Assert.Equal(2, Own(alice).Count);
        Assert.All(Own(alice), evt => Assert.Equal(MarmotProfile.Adopted, ProfileDetector.OfKeyPackage(evt)));

        var bob = await StartAsync(MarmotProfile.Adopted);
        string group = (await bob.Client.CreateGroupAsync("g", "")).GroupId;
        await bob.Client.InviteAsync(group, [alice.Key]);
        Assert.Single((await alice.Client.AcceptInvitesAsync()).Joined);
        await alice.Client.SendAsync(group, "moved");
        await SyncAsync(group, bob);
        Assert.Contains("moved", bob.Texts(group));
    }

    [Fact]
    public async Task Groups_of_both_profiles_live_side_by_side_on_one_relay()
    {
        var (alice, bob, carol, adopted) = await ThreeAsync();
        var dave = await StartAsync(MarmotProfile.Mip);
        var erin = await StartAsync(MarmotProfile.Mip);
        string mip = (await dave.Client.CreateGroupAsync("mip", "")).GroupId;
        await dave.Client.InviteAsync(mip, [erin.Key]);
        Assert.Single((await erin.Client.AcceptInvitesAsync()).Joined);
        await erin.Client.SendAsync(mip, "in mip");
        await alice.Client.SendAsync(adopted, "in adopted");
        await SyncAsync(mip, dave);
        await SyncAsync(adopted, bob, carol);
        Assert.Contains("in mip", dave.Texts(mip));
        Assert.Contains("in adopted", carol.Texts(adopted));
        var refusal = await Assert.ThrowsAsync<ClientException>(() => alice.Client.InviteAsync(adopted, [dave.Key]));
        Assert.Contains("MIP profile", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Devices_are_rung_in_the_dialect_of_the_group_and_never_for_who_left()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        using var server = Protocol.Keys.SecretKey.Generate();
        var device = new PushRegistration(Protocol.Push.DevicePlatform.Apns, new byte[32], server.PublicKey, Relay);
        await bob.Client.RegisterPushAsync(group, device);
        await carol.Client.RegisterPushAsync(group, device with { DeviceToken = [.. new byte[31], 1] });
        await SyncAsync(group, alice);
        Assert.Equal(2, alice.Client.GetPushTokens(group).Count);
        Assert.True(Assert.Single(await alice.Client.NotifyAsync(group)).Acked);

        var (dave, erin) = (await StartAsync(MarmotProfile.Mip), await StartAsync(MarmotProfile.Mip));
        string mip = (await dave.Client.CreateGroupAsync("mip", "")).GroupId;
        await dave.Client.InviteAsync(mip, [erin.Key]);
        await erin.Client.AcceptInvitesAsync();
        await erin.Client.RegisterPushAsync(mip, device);
        await dave.Client.SyncAsync(mip);
        await dave.Client.NotifyAsync(mip, TimeSpan.Zero);
        var triggers = _network[Relay].Fetch(new Filter { Kinds = [1059], Tags = new Dictionary<char, string[]> { ['p'] = [server.PublicKey.ToString()] } })
            .Select(wrap => Protocol.GiftWraps.GiftWrap.TryOpen(wrap, server, out var rumor, out _) ? rumor.TagValue("v") : null).Order(StringComparer.Ordinal);
        Assert.Equal(["marmot-push-v1", "mip05-v1"], triggers);

        await carol.Client.UnregisterPushAsync(group);
        await bob.Client.LeaveAsync(group); // takes the token back first
        await alice.Client.SyncAsync(group, commitLeaves: true);
        Assert.Empty(alice.Client.GetPushTokens(group));
    }

    [Fact]
    public async Task A_restarted_client_goes_on_where_it_was()
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        await bob.RestartAsync();
        await alice.RestartAsync();
        await alice.Client.SendAsync(group, "after a restart");
        await bob.Client.SelfUpdateAsync(group);
        await SyncAsync(group, alice, bob, carol);
        await bob.Client.SendAsync(group, "and after a commit");
        await SyncAsync(group, alice, bob, carol);
        AssertAgree(group, alice, bob, carol);
        Assert.Equal(["after a restart", "and after a commit"], carol.Texts(group));
    }

    private static void AssertAgree(string group, params Speaker[] speakers)
    {
        Assert.Single(speakers.Select(speaker => speaker.State(group).ConvergenceCommitment).Distinct());
        Assert.Single(speakers.Select(speaker => speaker.State(group).Check).Distinct());
    }

    private static async Task SyncAsync(string group, params Speaker[] speakers)
    {
        foreach (var speaker in speakers)
        {
            await speaker.Client.SyncAsync(group);
        }
    }

    private IReadOnlyList<NostrEvent> Own(Speaker speaker) => [.. _network[Relay].Fetch(new Filter { Authors = [speaker.Key], Kinds = [30443] })];

    private async Task<(Speaker Alice, Speaker Bob, Speaker Carol, string Group)> ThreeAsync()
    {
        var (alice, bob, carol) = (await StartAsync(MarmotProfile.Adopted), await StartAsync(MarmotProfile.Adopted), await StartAsync(MarmotProfile.Adopted));
        string group = (await alice.Client.CreateGroupAsync("three", "of us")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Key, carol.Key]);
        foreach (var speaker in new[] { bob, carol })
        {
            var report = await speaker.Client.AcceptInvitesAsync();
            Assert.Empty(report.Failed);
            Assert.Single(report.Joined);
        }

        return (alice, bob, carol, group);
    }

    private async Task<Speaker> StartAsync(MarmotProfile profile)
    {
        var speaker = new Speaker(_network, _clock, profile);
        _speakers.Add(speaker);
        await speaker.Client.PublishRelayListsAsync();
        await speaker.Client.PublishKeyPackageAsync();
        return speaker;
    }

    private sealed class Speaker : IAsyncDisposable
    {
        private readonly ClientStore _store = ClientStore.InMemory();
        private readonly MemoryNetwork _network;
        private readonly TimeProvider _clock;

        public Speaker(MemoryNetwork network, TimeProvider clock, MarmotProfile profile)
        {
            (_network, _clock) = (network, clock);
            View = network.Connect();
            Client = MarmotClient.Create(_store, SecretKey, new AccountSettings { Relays = [Relay], Profile = profile }, _ => View, clock);
        }

        public Protocol.Keys.SecretKey SecretKey { get; } = Protocol.Keys.SecretKey.Generate();

        public MemoryNetwork.View View { get; private set; }

        public MarmotClient Client { get; private set; }

        public Protocol.Encoding.Bytes32 Key => Client.PublicKey;

        public GroupState State(string group) => Client.GetState(group);

        public List<string> Texts(string group) =>
            [.. Client.GetMessages(group).Where(message => message.Rumor.Kind == 9).Select(message => message.Rumor.Content).Order(StringComparer.Ordinal)];

        public async Task RestartAsync()
        {
            await Client.DisposeAsync();
            View = _network.Connect();
            Client = MarmotClient.Open(_store, _ => View, _clock);
        }

        public async ValueTask DisposeAsync()
        {
            await Client.DisposeAsync();
            _store.Dispose();
            SecretKey.Dispose();
        }
    }
}
