using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.Client.Tests.Push;

[Trait("Spec", "MIP-05")]
public sealed class TriggerTests : IAsyncLifetime
{
    private const int MostLongTokens = 19;

    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private readonly SecretKey _server = SecretKey.Generate();
    private readonly List<Member> _members = [];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.DisposeAsync();
        }

        _server.Dispose();
    }

    [Fact]
    public async Task Tokens_are_told_again_after_25_days_and_forgotten_after_35()
    {
        var members = await StartAsync(2);
        string group = await GroupAsync(members);
        Assert.Single(members[0].Client.GetPushTokens(group));
        _clock.Advance(TimeSpan.FromDays(26));
        await members[1].Client.MaintainAsync();
        await members[0].Client.SyncAsync(group);
        _clock.Advance(TimeSpan.FromDays(34));
        Assert.Single(members[0].Client.GetPushTokens(group));
        _clock.Advance(TimeSpan.FromDays(2));
        Assert.Empty(members[0].Client.GetPushTokens(group));
    }

    [Fact]
    public async Task A_trigger_carries_three_tokens_of_other_groups_as_decoys_beside_those_it_rings()
    {
        var members = await StartAsync(6);
        string other = await GroupAsync(members), group = await GroupAsync(members[..2]);
        var wanted = Tokens(members[0], group);
        var decoys = Tokens(members[0], other);
        await members[0].Client.NotifyAsync(group, TimeSpan.Zero);
        var sent = Assert.Single(Triggers());
        Assert.Single(sent, wanted.Contains);
        Assert.Equal(3, sent.Count(decoys.Contains));
        Assert.InRange(sent.Count, 4, 5); // the own token every other time
        Assert.Equal(sent.Count, sent.Distinct().Count());
    }

    [Fact]
    public async Task More_tokens_than_pass_through_a_relay_go_in_several_triggers()
    {
        var members = await StartAsync(MostLongTokens + 4);
        string group = await GroupAsync(members);
        var published = await members[0].Client.NotifyAsync(group, TimeSpan.Zero);
        Assert.Equal(2, published.Count);
        var triggers = Triggers();
        Assert.All(triggers, tokens => Assert.InRange(tokens.Count, 1, MostLongTokens));
        Assert.Superset(Tokens(members[0], group), triggers.SelectMany(tokens => tokens).ToHashSet());
        Assert.All(_network[Member.Relay].Events.Where(evt => evt.Kind == GiftWrap.Kind), wrap => Assert.InRange(wrap.Json.Length, 1, 64 * 1024));
    }

    private async Task<Member[]> StartAsync(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _members.Add(await Member.StartAsync(_network, _clock));
        }

        return [.. _members];
    }

    // The first one makes it; all tell their tokens, and he hears them.
    private async Task<string> GroupAsync(Member[] members)
    {
        string group = (await members[0].Client.CreateGroupAsync("ring", "")).GroupId;
        await members[0].Client.InviteAsync(group, [.. members[1..].Select(member => member.Key)]);
        foreach (var member in members)
        {
            await member.Client.AcceptInvitesAsync();
            await member.Client.RegisterPushAsync(group, new PushRegistration(DevicePlatform.Apns, member.Key.Span.ToArray(), _server.PublicKey, Member.Relay));
        }

        await members[0].Client.SyncAsync(group);
        return group;
    }

    private static HashSet<string> Tokens(Member reader, string group) =>
        [.. reader.Client.GetPushTokens(group).Select(token => Convert.ToHexString(token.Token))];

    private List<List<string>> Triggers()
    {
        var triggers = new List<List<string>>();
        foreach (var wrap in _network[Member.Relay].Events.Where(evt => evt.Kind == GiftWrap.Kind && evt.TagValue("p") == _server.PublicKey.ToString()))
        {
            Assert.True(GiftWrap.TryOpen(wrap, _server, out var rumor, out _));
            triggers.Add([.. Convert.FromBase64String(rumor.Content).Chunk(TokenDialect.Mip05Long.TokenSize).Select(Convert.ToHexString)]);
        }

        return triggers;
    }
}
