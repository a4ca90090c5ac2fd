using Marmot.Client.Groups;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Member = Marmot.Client.Tests.Support.Member;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Tests.Groups;

/// <summary>Welcomes that must not be followed: the inviter has no right, or the reader is led away from a group he is in.</summary>
[Trait("Spec", "MIP-02")]
public sealed class WelcomeRuleTests : IAsyncLifetime
{
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private readonly SecretKey _evesKey = SecretKey.Generate();
    private Member _victim = null!;

    public async Task InitializeAsync() => _victim = await Member.StartAsync(_network, _clock);

    public async Task DisposeAsync()
    {
        await _victim.DisposeAsync();
        _evesKey.Dispose();
    }

    [Fact]
    public async Task A_welcome_by_somebody_who_is_no_admin_of_the_group_is_refused()
    {
        using var key = SecretKey.Generate();
        await SendAsync(Group([1, 2, 3], admin: key.PublicKey));
        Assert.Equal("the inviter is not an admin of the group", await RefusalAsync());
        Assert.Empty(_victim.Client.GroupIds);
    }

    [Fact]
    public async Task A_welcome_into_a_group_without_group_data_is_refused()
    {
        using var keys = MipGroup.CreateKeyPackage(_evesKey.PublicKey, lastResort: false, _clock.GetUtcNow());
        await SendAsync(MlsGroup.Create([1, 2, 3], keys, [], MipGroup.Rules));
        Assert.Equal("the group has no readable Marmot group data", await RefusalAsync());
    }

    [Fact]
    public async Task A_welcome_cut_anywhere_or_with_a_flipped_byte_is_refused_and_deletes_no_key_package()
    {
        byte[] welcome = (await InviteAsync(Group([1, 2, 3], _evesKey.PublicKey))).ToBytes();
        var dice = new Random(7);
        for (int i = 0; i < 60; i++)
        {
            byte[] bad = [.. welcome];
            bad[dice.Next(bad.Length)] ^= (byte)(1 << dice.Next(8));
            await SendAsync(i % 2 == 0 ? bad : welcome[..dice.Next(welcome.Length)]);
            var report = await _victim.Client.AcceptInvitesAsync();
            Assert.Empty(report.Joined);
            Assert.NotEmpty(report.Failed); // those that name no key package of ours are tried again each time
        }

        Assert.Empty(_victim.Client.GroupIds);
        await SendAsync(welcome);
        Assert.Single((await _victim.Client.AcceptInvitesAsync()).Joined);
    }

    [Fact]
    public async Task Nobody_is_led_away_from_a_group_he_is_in_by_a_stranger_who_knows_its_id()
    {
        await using var alice = await Member.StartAsync(_network, _clock);
        string group = (await alice.Client.CreateGroupAsync("true", "")).GroupId;
        await alice.Client.InviteAsync(group, [_victim.Key]);
        Assert.Single((await _victim.Client.AcceptInvitesAsync()).Joined);
        await alice.Client.SendAsync(group, "hello");
        await _victim.Client.SyncAsync(group);
        _clock.Advance(TimeSpan.FromSeconds(5));
        await SendAsync(Group(Convert.FromHexString(group), _evesKey.PublicKey));
        Assert.Equal("the group is joined already", await RefusalAsync());
        Assert.Equal("true", _victim.State(group).Name);
        Assert.Equal(alice.State(group).EpochAuthenticator, _victim.State(group).EpochAuthenticator);
    }

    [Fact]
    public async Task An_admin_leads_a_member_out_of_a_branch_that_lost_but_not_out_of_the_one_both_are_on()
    {
        await using var alice = await Member.StartAsync(_network, _clock);
        await using var bob = await Member.StartAsync(_network, _clock);
        string group = (await alice.Client.CreateGroupAsync("race", "")).GroupId;
        await alice.Client.InviteAsync(group, [bob.Key]);
        Assert.Single((await bob.Client.AcceptInvitesAsync()).Joined);

        // Bob's commit is dated first and seen last: the invitation is on the branch that loses, and there is talk on it.
        bob.View.IsOffline = true;
        await Assert.ThrowsAsync<ClientException>(() => bob.Client.SelfUpdateAsync(group));
        _clock.Advance(TimeSpan.FromSeconds(5));
        await alice.Client.InviteAsync(group, [_victim.Key]);
        Assert.Single((await _victim.Client.AcceptInvitesAsync()).Joined);
        await alice.Client.SendAsync(group, "you are in");
        await _victim.Client.SyncAsync(group);
        await _victim.Client.SelfUpdateAsync(group);
        bob.View.IsOffline = false;
        await bob.Client.SyncAsync(group);
        await alice.Client.SyncAsync(group);
        Assert.DoesNotContain(_victim.Key, alice.State(group).Members);

        _clock.Advance(TimeSpan.FromSeconds(5));
        await alice.Client.InviteAsync(group, [_victim.Key]);
        Assert.Single((await _victim.Client.AcceptInvitesAsync()).Joined);
        await bob.Client.SyncAsync(group);
        foreach (var member in new[] { bob, _victim })
        {
            Assert.Equal(alice.State(group).EpochAuthenticator, member.State(group).EpochAuthenticator);
        }
    }

    [Fact]
    public async Task A_group_of_the_first_generation_is_joined_and_read_and_nothing_is_written_into_it()
    {
        await SendAsync(Group([1, 2, 3], _evesKey.PublicKey, version: 1));
        string group = Assert.Single((await _victim.Client.AcceptInvitesAsync()).Joined).State.GroupId;
        Assert.Equal("Eve's", _victim.State(group).Name);
        await _victim.Client.MaintainAsync();
        foreach (var step in new Func<Task>[] { () => _victim.Client.SendAsync(group, "hello"), () => _victim.Client.SelfUpdateAsync(group),
            () => _victim.Client.LeaveAsync(group) })
        {
            Assert.Contains("first generation", (await Assert.ThrowsAsync<ClientException>(step)).Message, StringComparison.Ordinal);
        }

        Assert.Equal(0, _victim.Client.OutboxCount);
    }

    [Fact]
    public async Task Who_publishes_key_packages_of_the_adopted_generation_only_is_not_invited_and_the_reason_names_it()
    {
        await using var alice = await Member.StartAsync(_network, _clock);
        string group = (await alice.Client.CreateGroupAsync("g", "")).GroupId;
        string[][] tags = [["d", new string('5', 64)], ["mls_protocol_version", "1.0"], ["mls_ciphersuite", "0x0001"], ["app_components", "0x8003", "0x8009"]];
        string content = Convert.ToBase64String([0, 1, 0, 5, 0, 1, 0, 1]);
        _network[Member.Relay].Publish(NostrEvent.Create(_evesKey, 30443, tags, content, _clock.GetUtcNow().ToUnixTimeSeconds()));
        var refusal = await Assert.ThrowsAsync<ClientException>(() => alice.Client.InviteAsync(group, [_evesKey.PublicKey]));
        Assert.Contains("adopted Marmot protocol (P3", refusal.Message, StringComparison.Ordinal);
    }

    // A group of Eve's, whoever it names as admin.
    private MlsGroup Group(byte[] id, Bytes32 admin, byte version = 2)
    {
        using var keys = MipGroup.CreateKeyPackage(_evesKey.PublicKey, lastResort: false, _clock.GetUtcNow());
        var data = new GroupData { NostrGroupId = new Bytes32(new byte[32]), Name = "Eve's", Admins = [admin], Relays = [Member.Relay] };
        var extensions = MipGroup.ContextExtensions(data, requireSelfRemove: true);
        extensions[0].Data[1] = version; // the two share a layout
        return MlsGroup.Create(id, keys, extensions, MipGroup.Rules);
    }

    private async Task<MlsMessage> InviteAsync(MlsGroup group)
    {
        using (group)
        {
            var keyPackage = await _victim.Client.FetchKeyPackageAsync(_victim.Key);
            return group.Commit(new CommitRequest { Proposals = [new AddProposal(keyPackage!.KeyPackage)] }).Welcome!;
        }
    }

    private async Task SendAsync(MlsGroup group) => await SendAsync((await InviteAsync(group)).ToBytes());

    private Task SendAsync(byte[] welcome)
    {
        var rumor = Rumor.Create(_evesKey.PublicKey, 444, [["relays", Member.Relay], ["e", new string('0', 64)], ["encoding", "base64"]],
            Convert.ToBase64String(welcome), _clock.GetUtcNow().ToUnixTimeSeconds());
        _network[Member.Relay].Publish(GiftWrap.Create(rumor, _evesKey, _victim.Key, _clock));
        return Task.CompletedTask;
    }

    private async Task<string> RefusalAsync()
    {
        var report = await _victim.Client.AcceptInvitesAsync();
        Assert.Empty(report.Joined);
        return Assert.Single(report.Failed).Reason;
    }
}
