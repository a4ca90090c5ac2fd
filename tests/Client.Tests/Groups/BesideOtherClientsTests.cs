using Marmot.Client.Groups;
using Marmot.Client.KeyPackages;
using Marmot.Client.Tests.Support;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Member = Marmot.Client.Tests.Support.Member;

namespace Marmot.Client.Tests.Groups;

/// <summary>What was found live beside MDK's older client.</summary>
public sealed class BesideOtherClientsTests : IAsyncLifetime
{
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private readonly List<Member> _members = [];
    private Member _alice = null!;
    private Member _bob = null!;
    private Member _carol = null!;
    private string _group = "";

    public async Task InitializeAsync()
    {
        for (int i = 0; i < 3; i++)
        {
            _members.Add(await Member.StartAsync(_network, _clock));
        }

        (_alice, _bob, _carol) = (_members[0], _members[1], _members[2]);
        _group = (await _alice.Client.CreateGroupAsync("beside", "", admins: [_bob.Key])).GroupId;
        await _alice.Client.InviteAsync(_group, [_bob.Key]);
        await _bob.Client.AcceptInvitesAsync();
    }

    public async Task DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.DisposeAsync();
        }
    }

    // Two admins invite one account at once. Alice's commit is dated first and wins; the Welcome of Bob's is written last.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Of_two_Welcomes_into_one_epoch_the_one_whose_branch_is_heard_first_counts(bool lostOneIsReadFirst)
    {
        await InviteTwiceAsync();
        var wraps = _network[Member.Relay].Events.Where(evt => evt.Kind == 1059).ToList();
        var last = wraps[^1];
        _carol.View.OnFetch = (_, events) => [.. events.Where(evt => evt.Kind != 1059 || evt.Id == last.Id == lostOneIsReadFirst)];
        await _carol.Client.AcceptInvitesAsync();
        _carol.View.OnFetch = null;
        await _carol.Client.AcceptInvitesAsync();
        await _carol.Client.SendAsync(_group, "who hears me?");

        await _bob.Client.SyncAsync(_group);
        await _alice.Client.SyncAsync(_group);
        await _alice.Client.SendAsync(_group, "here we are");
        await _carol.Client.SyncAsync(_group);
        await _carol.Client.AcceptInvitesAsync();
        await _bob.Client.SyncAsync(_group);
        await _alice.Client.SyncAsync(_group);
        Assert.Equal(_alice.State(_group).EpochAuthenticator, _carol.State(_group).EpochAuthenticator);
        Assert.Contains("here we are", _carol.Texts(_group));
        Assert.Contains("who hears me?", _alice.Texts(_group));
    }

    [Fact]
    public async Task A_member_who_heard_others_and_committed_stays_where_he_is_when_the_Welcome_of_the_lost_commit_comes_last()
    {
        await InviteTwiceAsync();
        var last = _network[Member.Relay].Events.Last(evt => evt.Kind == 1059);
        _carol.View.OnFetch = (_, events) => [.. events.Where(evt => evt.Id != last.Id)];
        await _carol.Client.AcceptInvitesAsync();
        await _alice.Client.SyncAsync(_group);
        await _alice.Client.SendAsync(_group, "welcome");
        await _carol.Client.SyncAsync(_group);
        await _carol.Client.SelfUpdateAsync(_group);
        _carol.View.OnFetch = null;
        Assert.Empty((await _carol.Client.AcceptInvitesAsync()).Joined);
        await _alice.Client.SyncAsync(_group);
        Assert.Equal(_alice.State(_group).EpochAuthenticator, _carol.State(_group).EpochAuthenticator);
    }

    [Fact]
    public async Task A_legacy_leave_is_committed_by_an_inline_Remove()
    {
        // A member who cannot self_remove takes the demand away: leaving is a Remove of the own leaf then.
        string group = (await _alice.Client.CreateGroupAsync("legacy", "")).GroupId;
        await _alice.Client.InviteAsync(group, [_bob.Key, _carol.Key]);
        await _bob.Client.AcceptInvitesAsync();
        await _carol.Client.AcceptInvitesAsync();
        await _alice.Client.InviteAsync(group, [OldMember()]);
        await _bob.Client.SyncAsync(group);
        await _carol.Client.SyncAsync(group);
        await _carol.Client.LeaveAsync(group);
        await _alice.Client.SyncAsync(group);
        Assert.Equal(1, _alice.State(group).PendingProposals);

        // Bob never sees the proposal, as MDK's admins keep none: he follows the commit all the same.
        var leave = _network[Member.Relay].Events.Last(evt => evt.Kind == 445);
        _network[Member.Relay].Forget(leave.Id);
        await _alice.Client.CommitPendingAsync(group);
        await _bob.Client.SyncAsync(group);
        Assert.Equal(_alice.State(group).EpochAuthenticator, _bob.State(group).EpochAuthenticator);
        Assert.DoesNotContain(_carol.Key, _bob.State(group).Members);
    }

    [Fact]
    public async Task What_deployed_clients_cannot_keep_is_refused_at_the_sender_with_the_limit_named()
    {
        await RefusedAsync("255 bytes", () => _alice.Client.CreateGroupAsync(new string('n', 256), ""));
        await RefusedAsync("255 bytes", () => _alice.Client.UpdateGroupAsync(_group, new GroupChange { Name = new string('é', 128) }));
        await RefusedAsync("2000 bytes", () => _alice.Client.CreateGroupAsync("n", new string('d', 2001)));
        await RefusedAsync("2000 bytes", () => _alice.Client.UpdateGroupAsync(_group, new GroupChange { Description = new string('d', 2001) }));
        await RefusedAsync("102400 bytes", () => _alice.Client.SendAsync(_group, new string('m', 100 * 1024)));
        await RefusedAsync("64 lower-case hex", () => _alice.Client.PublishKeyPackageAsync(slot: "phone"));
        await RefusedAsync("64 lower-case hex", () => _alice.Client.PublishKeyPackageAsync(slot: new string('A', 64)));
        await _alice.Client.CreateGroupAsync(new string('n', 255), new string('d', 2000));
        await _alice.Client.SendAsync(_group, new string('m', 60 * 1024));

        static async Task RefusedAsync(string limit, Func<Task> step) =>
            Assert.Contains(limit, (await Assert.ThrowsAsync<ClientException>(step)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_key_package_with_a_key_of_low_order_is_not_invited_and_the_refusal_names_the_candidate(byte point)
    {
        // Signed by its owner, and of use to nobody: every shared secret with it is zero.
        using var mallory = SecretKey.Generate();
        byte[] lowOrder = [point, .. new byte[31]];
        var suite = CipherSuite.X25519Aes128Ed25519;
        var now = _clock.GetUtcNow();
        var pair = suite.GenerateSignatureKeyPair();
        using var good = KeyPackageSecrets.Create(
            suite, pair, Credential.Basic(mallory.PublicKey.Span), MipGroup.Capabilities(),
            new Lifetime((ulong)now.AddHours(-1).ToUnixTimeSeconds(), (ulong)now.AddDays(30).ToUnixTimeSeconds()));
        using var signer = suite.Signature.Prepare(pair.PrivateKey);
        var bad = new KeyPackage
        {
            Version = 1,
            CipherSuite = suite.Id,
            InitKey = lowOrder,
            Leaf = good.KeyPackage.Leaf,
            Extensions = good.KeyPackage.Extensions,
        }.Signed(suite, signer);
        _network[Member.Relay].Publish(KeyPackageEvent.Create(mallory, bad, new string('9', 64), [Member.Relay], now.ToUnixTimeSeconds()));
        var refusal = await Assert.ThrowsAsync<ClientException>(() => _alice.Client.InviteAsync(_group, [_carol.Key, mallory.PublicKey]));
        Assert.Contains(Protocol.Encoding.Nip19.EncodePublicKey(mallory.PublicKey), refusal.Message, StringComparison.Ordinal);
        Assert.Contains("InvalidKey", refusal.Message, StringComparison.Ordinal);

        // The others are not held up by it.
        await _alice.Client.InviteAsync(_group, [_carol.Key]);
        await _alice.Client.SelfUpdateAsync(_group);
        await _bob.Client.SyncAsync(_group);
        Assert.Equal(_alice.State(_group).EpochAuthenticator, _bob.State(_group).EpochAuthenticator);
    }

    // A key package of a client that knows no self_remove.
    private KeyPackageEvent OldMember()
    {
        using var key = SecretKey.Generate();
        var suite = CipherSuite.X25519Aes128Ed25519;
        var now = _clock.GetUtcNow();
        var capabilities = new Capabilities([1], [MarmotNumbers.CipherSuite], [ExtensionType.LastResort, GroupData.ExtensionType], [], [CredentialType.Basic]);
        var lifetime = new Lifetime((ulong)now.AddHours(-1).ToUnixTimeSeconds(), (ulong)now.AddDays(30).ToUnixTimeSeconds());
        using var package = KeyPackageSecrets.Create(suite, suite.GenerateSignatureKeyPair(), Credential.Basic(key.PublicKey.Span), capabilities, lifetime);
        var evt = KeyPackageEvent.Create(key, package.KeyPackage, new string('7', 64), [Member.Relay], now.ToUnixTimeSeconds());
        Assert.True(KeyPackageEvent.TryRead(evt, now, out var read, out string reason), reason);
        return read;
    }

    private async Task InviteTwiceAsync()
    {
        _bob.View.OnFetch = (_, events) => [.. events.Where(evt => evt.Kind != 445)];
        await _alice.Client.InviteAsync(_group, [_carol.Key]);
        _clock.Advance(TimeSpan.FromSeconds(3));
        await _bob.Client.InviteAsync(_group, [_carol.Key]);
        _bob.View.OnFetch = null;
    }
}
